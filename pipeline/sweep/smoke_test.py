"""One step of every cell before the engine starts, so that a broken cell is known at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.nn import functional

from gsa_core import build_model
from pipeline.common.reasons import brief, describe
from pipeline.dataset import Dataset
from pipeline.sweep.cell_search import CellLedger
from pipeline.training.loop import model_arguments

__all__ = ["broken_cells"]

# Cells beyond so many seconds are left to their first trials.
SECONDS = 30.0


def broken_cells(
    ledgers: Sequence[CellLedger], data: Mapping[str, Dataset]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each cell whose first configuration takes no step, with the error.

    On the CPU, with two images of zeros; cells that have finished a trial are not tried.
    """
    begun = time.monotonic()
    for ledger in ledgers:
        if time.monotonic() - begun > SECONDS:
            return
        if ledger.finished:
            continue
        try:
            take_step(ledger, data[ledger.dataset])
        except Exception as error:
            yield ledger.name, brief(describe(error))


def take_step(ledger: CellLedger, data: Dataset) -> None:
    """Build the model of a cell's first configuration; go forward and back once."""
    config = ledger.configure(ledger.proposer.propose(0, []))
    with torch.random.fork_rng(devices=[]):
        model = build_model(**model_arguments(config, data))
        images = torch.zeros(2, data.in_channels, data.image_size, data.image_size)
        functional.cross_entropy(model(images), torch.zeros(2, dtype=torch.int64)).backward()
