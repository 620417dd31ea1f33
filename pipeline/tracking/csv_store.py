"""Entries as three CSV files: trials, runs, and the epochs of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.study.schema import Params
from pipeline.tracking.entry import NUMBER, Entry

__all__ = ["CsvStore"]

FILES = {"sweep": "trials.csv", "confirm": "runs.csv"}


class CsvStore:
    """The files of a folder, written when the store is closed.

    Parameters
    ----------
    params
        The study.
    folder
        Where the files are made.
    final
        Not used: nothing in the files names their place.
    """

    def __init__(self, params: Params, folder: Path, final: Path | None = None) -> None:
        self.folder = folder
        self.rows: dict[str, list[dict[str, Any]]] = {stage: [] for stage in FILES}
        self.epochs: list[dict[str, Any]] = []

    def add(self, entry: Entry) -> None:
        """Keep the rows of an entry."""
        keys = {**entry.tags, NUMBER[entry.stage]: entry.number}
        self.rows[entry.stage].append({**keys, **entry.parameters, **entry.metrics})
        short = {key: keys[key] for key in ("study", "dataset", "cell", "stage")}
        self.epochs += [{**short, "number": entry.number, **epoch} for epoch in entry.curves]

    def close(self) -> None:
        """Write the files."""
        for stage, name in FILES.items():
            pd.DataFrame(self.rows[stage]).to_csv(self.folder / name, index=False)
        epochs = pd.DataFrame(self.epochs).astype({"epoch": int} if self.epochs else {})
        epochs.to_csv(self.folder / "epochs.csv", index=False)
