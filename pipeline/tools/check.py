"""Read params.yaml and say how large the study is; run nothing."""

from __future__ import annotations

from pipeline.prepare.sources.location import check_locations
from pipeline.study.cells import cells, combinations
from pipeline.study.params import load_params

__all__ = ["main"]


def main(given: object = None) -> None:
    """Print the number of cells, trials and runs."""
    params = load_params()
    check_locations(params.prepare)
    number = len(cells(params)) * len(params.prepare.datasets)
    trials, runs = number * params.sweep.trials_per_cell, number * len(params.confirm.seeds)
    print(f"params.yaml is a valid study: {number} cells, {trials} trials, {runs} runs")
    combined = len(combinations(params)) * len(params.prepare.datasets)
    if combined > number:
        print(f"{combined} combinations of the axes are {number} networks, each a cell once")
