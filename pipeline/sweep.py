"""Stage 2: search each cell of the study on train and validation; test is never opened here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from pipeline import errors, records, tables
from pipeline.datasets import load_dataset
from pipeline.execution.engine import Engine
from pipeline.execution.progress import Progress
from pipeline.execution.stage import StageFailed, in_memory, run_stage
from pipeline.execution.state import ROOT, source_digest, state_folder, versions
from pipeline.execution.work import WorkFunction
from pipeline.params import Params
from pipeline.search.journal import open_journal
from pipeline.search.ledger import CellLedger, score
from pipeline.search.proposals import Proposer
from pipeline.search_space import cells, configuration, distributions
from pipeline.sources import SweepSource
from pipeline.trial import run_trial

PREPARED, SWEPT = Path("data/prepare"), Path("data/sweep")
SPLITS = ("train", "validation")
# The code that decides which configurations are tried and what comes of them.
CODE = (
    "gsa_core",
    "pipeline/training.py",
    "pipeline/trial.py",
    "pipeline/search_space.py",
    "pipeline/search/proposals.py",
    "pipeline/search/designs.py",
)
# What a study may change and keep its trials: those of a cell depend on neither the other cells
# nor on how many are still to come.
GROWS = ("model", "group", "positional", "depth", "tokens", "trials_per_cell")


def definition(params: Params, card: bytes) -> dict[str, Any]:
    """Return everything that decides the trials of one data set, for the state's hash."""
    section = params.sweep.model_dump(mode="json")
    return {
        "sweep": {name: value for name, value in section.items() if name not in GROWS},
        "data": hashlib.sha256(card).hexdigest(),
        "code": source_digest(CODE),
        "versions": versions(),
    }


def open_ledgers(params: Params, name: str, dataset: Any, card: bytes) -> list[CellLedger]:
    """Open the journal of one data set: a ledger for each cell."""
    sweep = params.sweep
    storage = open_journal(state_folder("sweep", definition(params, card)) / "journal.log")
    return [
        CellLedger(
            name,
            cell,
            storage,
            sweep.trials_per_cell,
            Proposer(
                sweep.sampler,
                sweep.seed,
                cell.name,
                distributions(sweep.search_space, cell.model),
            ),
            partial(configuration, cell, params=params, dataset=dataset),
        )
        for cell in cells(params)
    ]


def sweep(params: Params, engine: Engine, function: WorkFunction = run_trial) -> None:
    """Run what is missing of a study's trials and write its tables.

    Raises
    ------
    StageFailed
        No trial completed; the tables are written all the same.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = params.prepare.datasets
    cards = {name: (PREPARED / name / "card.json").read_bytes() for name in names}
    data = {name: in_memory(load_dataset(PREPARED / name, SPLITS)) for name in names}
    ledgers = {name: open_ledgers(params, name, data[name], cards[name]) for name in names}
    every = [ledger for name in names for ledger in ledgers[name]]
    budget, slots = params.sweep.trials_per_cell, params.resources.workers
    progress = Progress("sweep", {ledger.name: budget for ledger in every}, slots)
    source = SweepSource(every, progress)
    progress.say(
        f"{len(every)} cells x {budget} trials, {slots} at once; "
        f"{progress.done} of {progress.total} done before"
    )
    with progress:
        engine.run(function, source, data, progress.tick)
    for name in names:
        provenance = records.provenance(params, json.loads(cards[name]))
        tables.write_sweep(SWEPT / name, params.study, params.sweep.seed, ledgers[name], provenance)
    check_any_completed(every)


def check_any_completed(ledgers: Sequence[CellLedger]) -> None:
    """Raise `StageFailed` when no trial of the study completed."""
    rows = [result["row"] for ledger in ledgers for _, result in ledger.results()]
    if any(score(row) is not None for row in rows):
        return
    first = (rows[0].get("reason") or rows[0]["status"]).splitlines()[0]
    raise StageFailed(
        f"none of the {len(rows)} trials completed (the first: {first}); all reasons are in "
        f"{SWEPT}/*/trials.parquet; to try the same again, remove {ROOT / 'sweep'}"
    )


def main() -> None:
    """Run the stage as `params.yaml` states it."""
    run_stage("sweep", sweep)


if __name__ == "__main__":
    errors.main(main)
