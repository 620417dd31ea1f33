"""Entry point of `python -m pipeline.report`."""

from pipeline.common.arguments import run_as

run_as("report")
