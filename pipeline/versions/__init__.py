"""Versions of a study: pinned, traced, compared, without being checked out."""
