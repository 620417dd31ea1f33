"""Entries as Optuna studies in SQLite, one a cell and one a data set."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.results.schemas import TRIALS
from pipeline.search.objectives import directions, values_of, violations
from pipeline.search.space import distributions
from pipeline.study.cells import Cell, cells
from pipeline.study.models import AXES
from pipeline.study.schema import Params
from pipeline.tracking.entry import Entry

__all__ = ["OptunaStore"]

ALL = "all cells"
Space = Mapping[str, BaseDistribution]


class _Unflushed(sqlite3.Connection):
    """Waits for no disk: a file that is not finished is of no use, and each value is a commit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = OFF")


class OptunaStore:
    """The file `study.db`: a study for each searched cell, and for each data set one of all cells.

    In the study of all cells the axes that have several values are parameters, and so are the
    hyperparameters that every cell has: their importance is that of the whole search.

    Parameters
    ----------
    params
        The study, whose search space the trials are of.
    folder
        Where the file is made.
    final
        Not used: nothing in the file names its place.
    """

    def __init__(self, params: Params, folder: Path, final: Path | None = None) -> None:
        self.params, self.spaces = params, _spaces(params)
        self.trials: dict[str, list[FrozenTrial]] = {}
        self.address = f"sqlite:///{folder.absolute() / 'study.db'}"

    def add(self, entry: Entry) -> None:
        """Keep a trial; runs are no trials of a search."""
        if entry.stage != "sweep" or entry.cell not in self.spaces:
            return
        for name, space in (
            (f"{entry.dataset} {entry.cell}", self.spaces[entry.cell]),
            (f"{entry.dataset} {ALL}", self.spaces[ALL]),
        ):
            self.trials.setdefault(name, []).append(_trial(entry, space, self.params))

    def close(self) -> None:
        """Write the studies."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        connection = {"connect_args": {"factory": _Unflushed}}
        storage = optuna.storages.RDBStorage(self.address, engine_kwargs=connection)
        objectives = list(self.params.sweep.objectives)
        known = [optuna.study.StudyDirection[word.upper()] for word in directions(objectives)]
        for name, trials in self.trials.items():
            study = optuna.create_study(storage=storage, study_name=name, directions=known)
            with warnings.catch_warnings():  # experimental since 3.2
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(objectives)
            study.add_trials(trials)
        storage.engine.dispose()


def _spaces(params: Params) -> dict[str, Space]:
    """Return the search space of each cell by its name, and that of `ALL`."""
    known = cells(params)
    found: dict[str, Space] = {
        cell.name: distributions(params.sweep.search_space, cell) for cell in known
    }
    common = set.intersection(*(set(space) for space in found.values()))
    first = next(iter(found.values()))
    return {
        **found,
        ALL: {**_axes(known), **{key: one for key, one in first.items() if key in common}},
    }


def _axes(known: Sequence[Cell]) -> dict[str, BaseDistribution]:
    values = {axis: list(dict.fromkeys(getattr(cell, axis) for cell in known)) for axis in AXES}
    return {axis: CategoricalDistribution(v) for axis, v in values.items() if len(v) > 1}


def _trial(entry: Entry, space: Space, params: Params) -> FrozenTrial:
    row: dict[str, Any] = {**entry.metrics, "status": entry.status}
    values = values_of(row, params.sweep.objectives)
    failed = TrialState.PRUNED if entry.status == "stopped" else TrialState.FAIL
    known = {key: entry.parameters[key] for key in space if key in entry.parameters}
    trial = create_trial(
        state=failed if values is None else TrialState.COMPLETE,
        values=values,
        params=known,
        distributions={key: space[key] for key in known},
        user_attrs=_attributes(entry, known),
        intermediate_values={
            int(epoch["epoch"]): epoch["validation_accuracy"]
            for epoch in entry.curves
            if "validation_accuracy" in epoch
        },
        constraints=violations(row, params.sweep.constraints) if values is not None else None,
    )
    # Tables have no time of day: the end is that of the export, the duration that of the trial.
    assert trial.datetime_complete is not None
    seconds = timedelta(seconds=entry.metrics.get("seconds", 0.0))
    trial.datetime_start = trial.datetime_complete - seconds
    return trial


def _attributes(entry: Entry, searched: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that is not searched, words to filter by, and what it came to."""
    fixed = {key: value for key, value in entry.parameters.items() if key not in searched}
    whole = {field.name for field in TRIALS if pa.types.is_integer(field.type)}
    found = {key: int(value) if key in whole else value for key, value in entry.metrics.items()}
    return {**fixed, "trial": entry.number, **entry.tags, **found}
