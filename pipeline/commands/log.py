"""`python -m pipeline log --cell NAME --number N`: what was said in a trial, or with --seed a run.

The tables have it once a stage is done; before that the sweep's journal is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.storages import JournalStorage

from pipeline import confirm, records, sweep
from pipeline.commands.rows import dataset_named, row_of
from pipeline.execution.state import state_path
from pipeline.inputs import read_card
from pipeline.params import Params, load_params
from pipeline.search.journal import Glimpse
from pipeline.search.ledger import result_of

__all__ = ["log", "main"]


def main(arguments: list[str]) -> None:
    """Print the log of a trial or a run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline log", description="what was said in a trial or a run"
    )
    parser.add_argument("--cell", required=True, help="as in the column `cell`")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--number", type=int, help="of a trial, as in the column `trial`")
    which.add_argument("--seed", type=int, help="of a run, as in the column `seed`")
    parser.add_argument("--dataset", help="needed where the study has several")
    asked = parser.parse_args(arguments)
    params = load_params()
    dataset = dataset_named(asked.dataset, params.prepare.datasets)
    print(log(params, dataset, asked.cell, asked.number, asked.seed))


def log(
    params: Params, dataset: str, cell: str, number: int | None = None, seed: int | None = None
) -> str:
    """Return what was said in trial `number` of a cell, or in its run with `seed`.

    Raises
    ------
    UserError
        There is no such trial or run, or it has not ended.
    """
    stage = confirm.CONFIRMED if number is None else sweep.SWEPT
    path = stage / dataset / "logs.parquet"
    if number is None:
        assert seed is not None
        return _text(row_of(records.read(path, records.LOGS), cell, "seed", seed))
    journal = (
        state_path("sweep", sweep.definition(params, read_card(params.prepare, dataset)))
        / "journal.log"
    )
    if journal.exists():
        return _text(row_of(pd.DataFrame(_logs(journal), columns=COLUMNS), cell, "trial", number))
    return _text(row_of(records.read(path, records.LOGS), cell, "trial", number))


COLUMNS = ["cell", "trial", "log"]


def _text(row: pd.DataFrame) -> str:
    return str(row["log"].iloc[0])


def _logs(journal: Path) -> Iterator[dict[str, Any]]:
    """Read the logs of all trials that have ended by now."""
    storage = JournalStorage(Glimpse(journal))
    for study in storage.get_all_studies():
        for trial in storage.get_all_trials(study._study_id, deepcopy=False):
            if (result := result_of(trial)) is not None:
                said = result.get("log", "")
                yield {"cell": study.study_name, "trial": trial.number, "log": said}
