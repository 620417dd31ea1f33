"""Sentences of the report: names, numbers in words, summary, method."""
