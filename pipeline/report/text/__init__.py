"""Sentences of the report: names, numbers as text, summary, methods."""
