"""Read params.yaml and say how large the study is; run nothing."""

from __future__ import annotations

from pipeline.prepare.sources.location import check_locations
from pipeline.study.cells import combinations
from pipeline.study.params import load_params
from pipeline.study.rules import count_cells

__all__ = ["main"]


def main(given: object = None) -> None:
    """Print the number of cells, trials and runs."""
    params = load_params()
    check_locations(params.prepare)
    cells = count_cells(params) * len(params.prepare.datasets)
    trials, runs = cells * params.sweep.trials_per_cell, cells * len(params.confirm.seeds)
    print(f"params.yaml is a valid study: {cells} cells, {trials} trials, {runs} runs")
    combined = len(combinations(params)) * len(params.prepare.datasets)
    if combined > cells:
        print(f"{combined} combinations of the axes are {cells} networks, each a cell once")
