"""Seconds of a training step of each cell: measured once, kept, and the same from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.files import write_json

__all__ = ["FILE", "measured_step_seconds"]

FILE = "step_seconds.json"
_REPAIR = "remove it, and the seconds of every cell are measured again"


def measured_step_seconds(
    folder: Path,
    configurations: Mapping[str, dict[str, Any]],
    measure: Callable[[dict[str, Any]], float],
) -> dict[str, float]:
    """Return the seconds of a training step by the name of the cell.

    They decide the epochs of every trial of the cell, so that an interrupted sweep has to continue
    with those it began with: each is written as soon as it is measured.

    Parameters
    ----------
    folder
        Where the state of the sweep is kept.
    configurations
        What is measured, by the name of the cell.
    measure
        Measures a configuration.
    """
    path = folder / FILE
    known = mapping(read_json(path, _REPAIR), str(path), _REPAIR) if path.exists() else {}
    for name, config in configurations.items():
        if name not in known:
            known[name] = measure(config)
            write_json(path, known)
        if not isinstance(known[name], float) or not 0 < known[name] < float("inf"):
            raise UserError(f"{path}: {name} has {known[name]!r} seconds: {_REPAIR}")
    return {name: known[name] for name in configurations}


def check_one_epoch(dataset: str, at: float, epochs: Mapping[str, float]) -> None:
    """Refuse to match fewer seconds than an epoch of some cell takes."""
    name, seconds = max(epochs.items(), key=lambda item: item[1])
    if seconds > at:
        raise UserError(
            f"params.yaml: sweep.match.at: got {at:g} seconds, but an epoch of {name} on {dataset} "
            f"takes {seconds:.3g}; accepts that or more"
        )
