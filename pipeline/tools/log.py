"""Print the log of a trial or of a run, and why it failed.

What is kept of an unfinished stage is read first, then the tables that it writes at its end.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.storages import JournalStorage

from pipeline.common.errors import UserError
from pipeline.common.failures import GOOD, harmless
from pipeline.confirm import stage as confirm
from pipeline.confirm.result_store import read_record
from pipeline.execution.stage_inputs import read_card
from pipeline.execution.state_folder import state_path
from pipeline.results import records, schemas
from pipeline.study.cells import cells
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.sweep.cell_search import result_of
from pipeline.sweep.journal import ReadOnlyJournal
from pipeline.tools.support.find_row import dataset_named, row_of

__all__ = ["log", "main"]

ARGUMENTS = {
    "--cell": {"required": True, "metavar": "NAME", "help": "as in the column `cell`"},
    "one of": {
        "--number": {
            "type": "whole number",
            "metavar": "N",
            "help": "as in `trial` of trials",
        },
        "--seed": {"type": "whole number", "metavar": "N", "help": "as in `seed` of runs"},
    },
    "--dataset": {"metavar": "NAME", "help": "needed where the study has several"},
}
COLUMNS = ["cell", "trial", "status", "reason", "log"]


def main(given: Namespace) -> None:
    """Print the log of a trial or a run."""
    params = load_params()
    dataset = dataset_named(given.dataset, params.prepare.datasets)
    print(log(params, dataset, given.cell, given.number, given.seed))


def log(
    params: Params, dataset: str, cell: str, number: int | None = None, seed: int | None = None
) -> str:
    """Return what was said in trial `number` of a cell, or in its run with `seed`.

    Of one that has failed, the whole reason follows.

    Raises
    ------
    UserError
        There is no such trial or run, or it has not ended.
    """
    card = read_card(params.prepare, dataset)
    if number is None:
        assert seed is not None
        kept = _kept_run(params, dataset, card, cell, seed)
        if kept is None:
            kept = _of(_table(confirm.CONFIRMED / dataset), cell, "seed", seed, params)
        return _text(kept)
    journal = state_path("sweep", sweep.definition(params, card)) / "journal.log"
    trials = (
        pd.DataFrame(_trials(journal), columns=COLUMNS)
        if journal.exists()
        else _table(sweep.SWEPT / dataset)
    )
    return _text(_of(trials, cell, "trial", number, params))


def _text(row: dict[str, Any]) -> str:
    """Join what was said and, of a failure, why."""
    said = row["log"] if isinstance(row["log"], str) else ""
    reason = row["reason"] if isinstance(row["reason"], str) else "no reason recorded"
    why = "" if row["status"] in GOOD else f"{row['status']}: {reason}"
    return harmless("\n".join(filter(None, [said, why])) or "nothing was said")


def _of(table: pd.DataFrame, cell: str, column: str, value: int, params: Params) -> dict[str, Any]:
    found = row_of(table, cell, column, value, [one.name for one in cells(params)])
    return {str(key): kept for key, kept in found.iloc[0].items()}


def _table(folder: Path) -> pd.DataFrame:
    """Read the rows of a stage with their logs; one that never ran has none."""
    name, column = ("runs", "seed") if folder.parent == confirm.CONFIRMED else ("trials", "trial")
    schema = schemas.RUNS if name == "runs" else schemas.TRIALS
    rows = records.read(folder / f"{name}.parquet", schema)[["cell", column, "status", "reason"]]
    logs = records.read(folder / "logs.parquet", schemas.LOGS)[["cell", column, "log"]]
    return rows.merge(logs, on=["cell", column], how="left")


def _trials(journal: Path) -> Iterator[dict[str, Any]]:
    """Read what all trials have come to that have ended by now."""
    storage = JournalStorage(ReadOnlyJournal(journal))
    for study in storage.get_all_studies():
        for trial in storage.get_all_trials(study._study_id, deepcopy=False):
            if (result := result_of(trial)) is not None:
                kept = {"cell": study.study_name, "trial": trial.number}
                yield {**kept, **_outcome(result)}


def _kept_run(
    params: Params, dataset: str, card: bytes, cell: str, seed: int
) -> dict[str, Any] | None:
    """Find a run that has ended in a stage that may not have."""
    folder = state_path("confirm", confirm.definition()) / "runs"
    if not folder.exists():
        return None
    try:
        runs = confirm.plan(params, {dataset: card})
    except UserError:  # of an older study: its tables may still be there
        return None
    for run in runs:
        if (run.cell.name, run.seed) != (cell, seed):
            continue
        if run.configuration is None:
            return {"status": "failed", "reason": run.reason, "log": None}
        value = read_record(folder, confirm.run_task(params, run, card).key)
        return None if value is None else _outcome(value)
    return None


def _outcome(result: dict[str, Any]) -> dict[str, Any]:
    row = result["row"]
    return {"status": row["status"], "reason": row.get("reason"), "log": result.get("log", "")}
