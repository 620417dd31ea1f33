"""Validate params.yaml and print how large the study is; run nothing."""

from __future__ import annotations

from argparse import Namespace

from pipeline.prepare.sources.location import check_locations
from pipeline.study.cells import pairs, runs_of
from pipeline.study.params import load_params
from pipeline.study.tuning import chosen, searched

__all__ = ["main"]

ARGUMENTS = {
    "--time": {"action": "store_true", "help": "also say how long the whole study will take"}
}


def main(given: Namespace | None = None) -> None:
    """Print the number of cells, trials and runs."""
    params = load_params()
    check_locations(params.prepare)
    number = len(pairs(params))
    searches = sum(len(searched(params, name)) for name in params.prepare.datasets)
    trials = searches * params.sweep.trials_per_cell
    runs = sum(runs_of(params, name) for name in params.prepare.datasets)
    print(f"params.yaml is a valid study: {number} cells, {trials} trials, {runs} runs")
    for line in chosen(params):
        print(line)
    if given is not None and given.time:
        from pipeline.tools.support.study_time import sentence  # seconds to import

        print(sentence(params), flush=True)
