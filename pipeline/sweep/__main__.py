"""Entry point of `python -m pipeline.sweep`."""

from pipeline.common.arguments import run_as

run_as("sweep")
