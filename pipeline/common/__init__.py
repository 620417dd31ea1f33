"""Errors, files, locks, signals, units: used by all, and imports nothing else of pipeline."""
