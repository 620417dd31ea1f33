"""Train the best of each cell with several seeds and open test once a run: data/confirm/."""

from pipeline.common.commands import run_as

run_as("confirm")
