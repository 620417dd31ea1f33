"""Read params.yaml and say how large the study is; run nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.prepare.sources.location import check_locations
from pipeline.study.cells import combinations, left_out, networks, pairs
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.study.tuning import searched

__all__ = ["chosen", "main"]


def main(given: object = None) -> None:
    """Print the number of cells, trials and runs."""
    params = load_params()
    check_locations(params.prepare)
    number = len(pairs(params))
    searches = sum(len(searched(params, name)) for name in params.prepare.datasets)
    trials, runs = searches * params.sweep.trials_per_cell, number * len(params.confirm.seeds)
    print(f"params.yaml is a valid study: {number} cells, {trials} trials, {runs} runs")
    for line in chosen(params):
        print(line)


def chosen(params: Params) -> Iterator[str]:
    """Say which combinations are no cell of the study, and which cells are not searched."""
    datasets = params.prepare.datasets
    combined = len(combinations(params)) * len(datasets)
    every = len(networks(params)) * len(datasets)
    if combined > every:
        yield f"{combined} combinations of the axes are {every} networks, each a cell once"
    for rule, cells in left_out(params).items():
        yield f"{len(cells)} left out, {rule}"
    for name in datasets:
        others = len([one for one, _ in pairs(params) if one == name]) - len(searched(params, name))
        if others:
            source = params.sweep.tuned_on.get(name, "those with the most training images")
            yield f"{others} cells of {name} are not searched; tuned on {source}"
