"""A finished trial or run as tracking tools see it: parameters, metrics, curves, a status."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.failures import GOOD
from pipeline.results import records, schemas
from pipeline.study.models import AXES
from pipeline.study.schema import Params

__all__ = ["NUMBER", "TABLES", "Entry", "Store", "entries", "entry_of", "read_tables"]

# The column that numbers the entries of a cell, and the file of the rows of a stage.
NUMBER = {"sweep": "trial", "confirm": "seed"}
TABLES = {"sweep": ("trials", schemas.TRIALS), "confirm": ("runs", schemas.RUNS)}
_NOT_METRICS = {*AXES, *NUMBER.values(), "epoch", "batch_parts"}


@dataclass(frozen=True)
class Entry:
    """A trial of the sweep or a run of confirm.

    Attributes
    ----------
    number
        Of the trial, or the seed of the run.
    parameters
        The axes of its cell and its whole configuration.
    metrics
        What it came to, by the name of the column.
    curves
        One mapping an epoch, each with the key ``epoch``.
    """

    study: str
    dataset: str
    cell: str
    stage: str
    number: int
    status: str
    reason: str | None
    parameters: dict[str, Any]
    metrics: dict[str, float]
    curves: list[dict[str, float]]

    @property
    def name(self) -> str:
        """Unique in the study: ``digits/gsa-C4-relative-d1-stem-trial2``."""
        return f"{self.dataset}/{self.cell}-{NUMBER[self.stage]}{self.number}"

    @property
    def ok(self) -> bool:
        """Whether it ran to a result."""
        return self.status in GOOD

    @property
    def tags(self) -> dict[str, str]:
        """Words to filter by."""
        found = {key: getattr(self, key) for key in ("study", "dataset", "cell", "stage", "status")}
        return {**found, **({} if self.reason is None else {"reason": self.reason[:500]})}


class Store(Protocol):
    """Where a tool keeps entries."""

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        ...

    def close(self) -> None:
        """Write what is still held in memory."""
        ...


def entry_of(
    keys: Mapping[str, Any],
    configuration: Mapping[str, Any],
    row: Mapping[str, Any],
    epochs: Iterator[Mapping[str, Any]] | list[Mapping[str, Any]],
) -> Entry:
    """Make an entry of what a trial or run came to.

    Parameters
    ----------
    keys
        ``study dataset cell stage number`` and the axes of the cell.
    configuration
        All that was trained with.
    row
        Its measures and its status.
    epochs
        One mapping an epoch.
    """
    named = {key: keys[key] for key in ("study", "dataset", "cell", "stage", "number")}
    parameters = {**{axis: keys[axis] for axis in AXES if axis in keys}, **configuration}
    curves = [{"epoch": float(one["epoch"]), **_numbers(one)} for one in epochs]
    measured = {key: value for key, value in row.items() if key not in parameters}
    reason = row.get("reason")
    return Entry(
        **named, status=row["status"], reason=reason if isinstance(reason, str) else None,
        parameters=parameters, metrics=_numbers(measured), curves=curves,
    )  # fmt: skip


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in row.items()
        if key not in _NOT_METRICS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def read_tables(params: Params, data: Path, stage: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of a stage, all data sets, and those of their epochs.

    Raises
    ------
    UserError
        There are none, or they are of another study.
    """
    name, schema = TABLES[stage]
    rows, epochs = [], []
    for dataset in params.prepare.datasets:
        folder = data / stage / dataset
        if not (folder / f"{name}.parquet").is_file():
            raise UserError(f"{folder}: has no {name}.parquet: run `make study` first")
        rows.append(records.read(folder / f"{name}.parquet", schema))
        epochs.append(records.read(folder / "epochs.parquet", schemas.EPOCHS))
    table = pd.concat(rows, ignore_index=True)
    others = sorted(set(table["study"]) - {params.study})
    if others:
        raise UserError(
            f"{data / stage}: holds rows of the study {others[0]!r} but params.yaml says "
            f"{params.study!r}: run `make study` to bring the results up to date"
        )
    return table, pd.concat(epochs, ignore_index=True)


def entries(params: Params, data: Path, stages: Sequence[str] = tuple(NUMBER)) -> Iterator[Entry]:
    """Yield every trial and every run of these finished stages, in the order of their tables."""
    for stage in stages:
        number = NUMBER[stage]
        rows, epochs = read_tables(params, data, stage)
        keys = ["dataset", "cell", number]
        curves = {key: part.to_dict("records") for key, part in epochs.groupby(keys)}
        for row in rows.to_dict("records"):
            named = {**row, "stage": stage, "number": int(row[number])}
            yield entry_of(
                named,
                json.loads(row["configuration"]),
                {key: value for key, value in row.items() if key not in AXES},
                curves.get(tuple(row[key] for key in keys), []),
            )
