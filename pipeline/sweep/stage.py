"""Stage 2: search each cell of the study on train and validation; test is never opened here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.failures import brief
from pipeline.common.units import counted
from pipeline.dataset import load_dataset
from pipeline.execution.checkpoints import Checkpoints, checkpoints_of, storage_named
from pipeline.execution.code_dependencies import code_of
from pipeline.execution.engine import Engine
from pipeline.execution.gpu_share import auto_share
from pipeline.execution.live_tracking import LiveTracking
from pipeline.execution.progress import Progress
from pipeline.execution.run_stage import StageFailed, running_stage
from pipeline.execution.stage_inputs import PREPARED, SWEPT, read_cards, search_digest
from pipeline.execution.state_folder import ROOT, state_folder, superseded, versions
from pipeline.execution.tasks import WorkFunction
from pipeline.results import records, schemas
from pipeline.results.provenance import provenance
from pipeline.results.records import Row, configured_row, log_rows
from pipeline.search.objectives import directions, front, score
from pipeline.search.space import batch_sizes, configuration, distributions
from pipeline.study.budgets import steps_of_epoch
from pipeline.study.cells import Cell, pairs
from pipeline.study.models import AXES
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.sweep.budget import Budget
from pipeline.sweep.cell_search import CellSearch, Rules
from pipeline.sweep.early_stopping import SuccessiveHalving
from pipeline.sweep.journal import open_journal
from pipeline.sweep.proposals import Proposer
from pipeline.sweep.smoke_test import broken_cells
from pipeline.sweep.step_times import check_one_epoch, measured_step_seconds
from pipeline.sweep.trial import run_trial
from pipeline.sweep.trial_tasks import SweepSource
from pipeline.training import cost

SmokeTest = Callable[[Sequence[CellSearch], Mapping[str, Any]], Iterable[tuple[str, str]]]
StepTimer = Callable[[dict[str, Any], Any], float]
SPLITS = ("train", "validation")
# A study may change these and keep its trials: those of a cell depend neither on other cells nor on
# how many are still to come.
EXTENSIBLE = (
    *AXES,
    "include",
    "skip",
    "tuned_on",
    "tuned_as",
    "tune_images",
    "trials_per_cell",
    "budget",
)


def definition(params: Params, card: bytes) -> dict[str, Any]:
    """Return everything that decides the trials of one data set, for the state's hash."""
    section = params.sweep.model_dump(mode="json")
    return {
        "sweep": {name: value for name, value in section.items() if name not in EXTENSIBLE},
        "data": hashlib.sha256(card).hexdigest(),
        "code": code_of("sweep"),
        "versions": versions(),
    }


def open_searches(
    params: Params, name: str, dataset: Any, card: bytes, measure: StepTimer | None = None
) -> list[CellSearch]:
    """Open the journal of one data set and the search of each cell in it."""
    folder = state_folder("sweep", definition(params, card))
    storage, common = open_journal(folder / "journal.log"), rules(params)
    seconds = step_seconds(params, name, dataset, folder, measure) if measure is not None else {}
    return [
        CellSearch(
            name,
            cell,
            storage,
            common,
            proposer(params, cell),
            partial(
                configuration,
                cell,
                params=params,
                dataset=dataset,
                step_seconds=seconds.get(cell.name),
            ),
        )
        for cell in searched(params, name)
    ]


def step_seconds(
    params: Params, name: str, dataset: Any, folder: Path, measure: StepTimer
) -> dict[str, dict[int, float]]:
    """Return the seconds of a step by cell and batch size where the study matches seconds."""
    match = params.sweep.match
    if match is None or match.of != "seconds":
        return {}
    sizes, cells = batch_sizes(params), searched(params, name)
    configs: dict[str, dict[str, Any]] = {}
    for cell in cells:
        first = configuration(cell, proposer(params, cell).propose(0, []), params, dataset)
        configs |= {_measured_as(cell, n, sizes): {**first, "batch_size": n} for n in sizes}
    found = measured_step_seconds(folder, configs, lambda config: measure(config, dataset))
    images = len(dataset.train)
    epochs = {one: found[one] * steps_of_epoch(configs[one], images) for one in configs}
    check_one_epoch(name, match.at, epochs)
    return {cell.name: {n: found[_measured_as(cell, n, sizes)] for n in sizes} for cell in cells}


def _measured_as(cell: Cell, size: int, sizes: Sequence[int]) -> str:
    """Under which name the steps of a cell with this batch size are measured."""
    return cell.name if len(sizes) == 1 else f"{cell.name} with batches of {size}"


def rules(params: Params) -> Rules:
    """Return the settings that all cells of a study share."""
    sweep = params.sweep
    stopping = sweep.stopping
    return Rules(
        trials=sweep.trials_per_cell,
        objectives=sweep.objectives,
        constraints=sweep.constraints,
        halving=None
        if stopping.reduction is None
        else SuccessiveHalving(stopping.reduction, stopping.min_epochs, sweep.trial_epochs),
        patience=sweep.budget.patience,
    )


def proposer(params: Params, cell: Cell) -> Proposer:
    """Return the proposer of a cell's hyperparameters."""
    sweep, common = params.sweep, rules(params)
    return Proposer(
        sweep.sampler,
        sweep.seed,
        cell.name,
        distributions(sweep.search_space, cell),
        directions(sweep.objectives),
        common.in_generations,
    )


def checkpoints(params: Params, card: bytes) -> Checkpoints:
    """Return where the unfinished trials of one data set keep their state."""
    folder = state_folder("sweep", definition(params, card))
    return checkpoints_of(storage_named(params.resources.storage), folder)


def sweep(
    params: Params,
    engine: Engine,
    function: WorkFunction = run_trial,
    smoke_test: SmokeTest | None = None,
    measure: StepTimer | None = None,
) -> None:
    """Run what is missing of a study's trials and write its tables.

    Cells that the `smoke_test` finds broken are named before the first trial; their trials become
    failed rows. `measure` is for studies that match seconds.

    Raises
    ------
    StageFailed
        No trial completed; the tables are written all the same.
    """
    names = params.prepare.datasets
    cards = read_cards(params.prepare)
    data = {name: load_dataset(PREPARED / name, SPLITS, verify=True) for name in names}
    check_training_images(params, data)
    restarts = [superseded("sweep", definition(params, card)) for card in cards.values()]
    searches = {
        name: open_searches(params, name, data[name], cards[name], measure) for name in names
    }
    every = [search for name in names for search in searches[name]]
    trials, slots = params.sweep.trials_per_cell, params.resources.workers
    progress = Progress("sweep", {search.name: trials for search in every}, slots, noted=True)
    places = {name: checkpoints(params, cards[name]) for name in names}
    limits, gpus = params.sweep.budget, float(params.resources.gpus_per_trial)
    budget = Budget(limits.hours, limits.gpu_hours, gpus)
    tracking = LiveTracking(params, "sweep", progress.say)
    source = SweepSource(every, progress, places, budget, measures(params), tracking)
    what = f"{counted(len(every), 'cell')} x {counted(trials, 'trial')}"
    progress.say(f"{what}, {progress.parallel}; {progress.resumed()}")
    for restart in filter(None, restarts):
        progress.say(restart)
    for broken, reason in smoke_test(every, data) if smoke_test is not None else ():
        progress.say(f"{broken} cannot work, its trials will fail: {reason}")
    with progress:
        engine.run(function, source, data, progress.tick)
    progress.summarise(source.failures(), "trials")
    for name in names:
        described = provenance(params, json.loads(cards[name]))
        described["sweep_sha256"] = search_digest(params)
        if ended := source.end_reasons(name):
            described["ended"] = ended
        write_sweep(SWEPT / name, params.study, params.sweep.seed, searches[name], described)
    check_any_completed(every)


def write_sweep(
    folder: Path,
    study: str,
    seed: int,
    searches: Iterable[CellSearch],
    described: Mapping[str, Any],
) -> None:
    """Write `trials.parquet`, `epochs.parquet` and `logs.parquet` of one data set."""
    trials: list[Row] = []
    epochs: list[Row] = []
    logs: list[Row] = []
    for search in searches:
        cell = {"study": study, "dataset": search.dataset, **search.cell.columns()}
        results = search.results()
        best = front([result["row"] for _, result in results], search.rules.objectives)
        for (trial, result), pareto in zip(results, best, strict=True):
            keys = {**cell, "trial": trial.number, "seed": seed}
            # A proposal that makes no model has parameters but no whole configuration.
            config = result["row"].get("configuration") or trial.params
            row = {**result["row"], "pareto": pareto}
            trials.append(configured_row(schemas.TRIALS, keys, config, row))
            epochs += [{**epoch, **keys, "stage": "sweep"} for epoch in result["epochs"]]
            logs += log_rows(result, {**keys, "stage": "sweep"})
    records.write(folder / "trials.parquet", trials, schemas.TRIALS, described)
    records.write(folder / "epochs.parquet", epochs, schemas.EPOCHS, described)
    records.write(folder / "logs.parquet", logs, schemas.LOGS, described)


def check_training_images(params: Params, data: Mapping[str, Any]) -> None:
    """Refuse to train on more images than a data set has, or on less than one a class."""
    for name, cell in pairs(params):
        count, dataset = cell.training_images, data[name]
        if count is not None and not dataset.num_classes <= count <= len(dataset.train):
            raise UserError(
                f"params.yaml: sweep.training_images: got {count}, but {name} has "
                f"{len(dataset.train):,} training images of {dataset.num_classes} classes; accepts "
                f"null or a number from {dataset.num_classes} to {len(dataset.train)}"
            )


def measures(params: Params) -> list[str]:
    """List what trials measure in addition to accuracy, as the objectives need it."""
    return [name for name in params.sweep.objectives if name == "invariance_error"]


def check_any_completed(searches: Sequence[CellSearch]) -> None:
    """Raise `StageFailed` when no trial of the study completed."""
    rows = [result["row"] for search in searches for _, result in search.results()]
    if any(score(row) is not None for row in rows):
        return
    first = brief(rows[0].get("reason") or rows[0]["status"])
    raise StageFailed(
        f"none of the {len(rows)} trials completed (the first: {first}); all reasons are in "
        f"{SWEPT}/*/trials.parquet; to try the same again, remove {ROOT / 'sweep'}"
    )


def main(params: Params) -> None:
    """Run the stage as `params.yaml` states it."""
    read_cards(params.prepare)  # refuses what is missing, before Ray is imported
    with running_stage("sweep", params.resources, partial(auto_share, params)) as (given, engine):
        params = params.model_copy(update={"resources": given})
        sweep(params, engine, smoke_test=broken_cells, measure=cost.step_seconds)
