"""Entry point of `python -m pipeline.prepare`."""

from pipeline.common.arguments import run_as

run_as("prepare")
