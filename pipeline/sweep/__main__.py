"""Search the best configuration of each cell on train and validation: data/sweep/."""

from pipeline.common.commands import run_as

run_as("sweep")
