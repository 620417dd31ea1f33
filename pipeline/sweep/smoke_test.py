"""Smoke test: one training step of every cell before the engine starts, to find broken cells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.nn import functional

from gsa_core import build_model
from pipeline.common.failures import brief, describe
from pipeline.dataset import Dataset
from pipeline.sweep.cell_search import CellSearch
from pipeline.training.loop import model_arguments

# Cells that are not reached within so many seconds are tested by their first trials.
SECONDS = 30.0


def broken_cells(
    searches: Sequence[CellSearch], data: Mapping[str, Dataset]
) -> Iterator[tuple[str, str]]:
    """Yield the name and the error of each cell whose first configuration fails in one step.

    On the CPU, with two images of zeros; cells that have finished a trial are not tried.
    """
    begun = time.monotonic()
    for search in searches:
        if time.monotonic() - begun > SECONDS:
            return
        if search.finished:
            continue
        try:
            take_step(search, data[search.dataset])
        except Exception as error:
            yield search.name, brief(describe(error))


def take_step(search: CellSearch, data: Dataset) -> None:
    """Build the model of a cell's first configuration; go forward and back once."""
    config = search.configure(search.proposer.propose(0, []))
    with torch.random.fork_rng(devices=[]):
        model = build_model(**model_arguments(config, data))
        images = torch.zeros(2, data.in_channels, data.image_size, data.image_size)
        functional.cross_entropy(model(images), torch.zeros(2, dtype=torch.int64)).backward()
