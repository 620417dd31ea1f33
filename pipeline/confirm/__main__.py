"""Entry point of `python -m pipeline.confirm`."""

from pipeline.common.arguments import run_as

run_as("confirm")
