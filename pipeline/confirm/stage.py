"""Stage 3: train the best configuration of each cell with several seeds; alone opens the test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.common.failures import Failure, command, harmless, tally
from pipeline.common.units import counted
from pipeline.confirm import tables
from pipeline.confirm.finished_runs import FinishedRuns, finished_folder
from pipeline.confirm.image_list import list_images
from pipeline.confirm.keep import kept, measured_images, stores_logits
from pipeline.confirm.later_splits import draw_splits
from pipeline.confirm.mistakes import find_mistakes
from pipeline.confirm.plan import Run, plan_runs
from pipeline.confirm.result_store import RunStore, fingerprint
from pipeline.confirm.run import run_confirmation
from pipeline.confirm.run_tasks import ConfirmSource
from pipeline.dataset import Dataset, load_dataset
from pipeline.execution.checkpoints import checkpoints_of, storage_named
from pipeline.execution.code_dependencies import code_of
from pipeline.execution.engine import Engine
from pipeline.execution.gpu_share import auto_share
from pipeline.execution.live_table import TEST
from pipeline.execution.live_tracking import LiveTracking
from pipeline.execution.progress import Progress
from pipeline.execution.run_stage import StageFailed, running_stage
from pipeline.execution.stage_inputs import PREPARED, read_cards, read_trials, search_digest
from pipeline.execution.state_folder import ROOT, state_folder, superseded, versions
from pipeline.execution.tasks import Task, WorkFunction
from pipeline.results.provenance import data_digest, digest, provenance
from pipeline.study.schema import Params

CONFIRMED = Path("data/confirm")
SPLITS = ("train", "validation", "test", "test_turned")
HIERARCHY = "symmetry of untrained networks"


def definition() -> dict[str, Any]:
    """Return what all runs depend on, for the state's hash; their keys name the rest."""
    return {"code": code_of("confirm"), "versions": versions()}


def runs_digest(params: Params) -> str:
    """Return a hash of what was confirmed, and how: the tables of `confirm` carry it."""
    return digest([search_digest(params), params.confirm.model_dump(mode="json")])


def run_task(params: Params, run: Run, card: bytes) -> Task:
    """Make the task of a run; its key names all that the result depends on except the code."""
    described = json.loads(card)
    payload = {
        "kind": "run",
        "dataset": run.dataset,
        "data": data_digest(described),
        "configuration": run.configuration,
        "angles": params.confirm.angles,
        "layer_images": params.confirm.layer_images,
        "measured_images": measured_images(params, described),
        "logits": stores_logits(params, described),
        "features": run.seed == params.confirm.seeds[0],  # one picture a cell is enough
    }
    if run.split:  # else a run is the same whatever the number of splits
        payload["split"] = run.split
    key = f"{run.dataset}-{run.name}-{fingerprint(payload)}"
    log = command(run.dataset, run.cell.name, f"--seed {run.seed}")
    return Task(key, {**payload, "label": f"seed {run.seed}", "log_command": log})


def hierarchy_task(params: Params) -> Task:
    """Make the task that measures the hierarchy of encodings."""
    seeds = list(range(params.confirm.hierarchy_seeds))
    payload = {
        "kind": "hierarchy",
        "groups": list(params.sweep.group),
        "encodings": list(params.sweep.positional),
        "seeds": seeds,
    }
    shown = {"label": "(a check of the architecture)", "log_command": "at the end of this stage"}
    return Task(f"hierarchy-{fingerprint(payload)}", {**payload, **shown})


def plan(params: Params, cards: dict[str, bytes]) -> list[Run]:
    """List the runs of the study, of the trials of the data that `cards` describe."""
    runs: list[Run] = []
    searched = [name for name in cards if name not in params.sweep.tuned_on]
    trials = {name: read_trials(params, name, cards[name]) for name in searched}
    for name, card in cards.items():
        runs += plan_runs(name, params, trials, json.loads(card))
    return runs


def runs_without_configuration(runs: Iterable[Run]) -> list[Failure]:
    """List the runs for which no trial gives a configuration, and why."""
    return [
        ("not made", run.reason, command(run.dataset, run.cell.name, f"--seed {run.seed}"))
        for run in runs
        if run.configuration is None
    ]


def load(name: str) -> Dataset:
    """Open a prepared data set, its test split, too."""
    return load_dataset(PREPARED / name, SPLITS, verify=True)


def finished_runs(params: Params, progress: Progress) -> FinishedRuns | None:
    """Open the finished runs in the project folder, where the study keeps them."""
    if not params.confirm.keep_runs:
        return None
    folder = finished_folder(params.study)
    return FinishedRuns(folder, provenance(params, None), progress.say)


def progress_of(params: Params, tasks: list[tuple[str, Task]]) -> Progress:
    """Make the progress display: a line for each cell and one for the hierarchy."""
    names = [name for name, _ in tasks]
    totals = {name: names.count(name) for name in names}
    return Progress("confirm", totals, params.resources.workers, noted=True, scores=TEST)


def confirm(params: Params, engine: Engine, function: WorkFunction = run_confirmation) -> None:
    """Run the missing runs of a study and write its tables.

    Raises
    ------
    StageFailed
        No run completed; the tables are written nevertheless.
    """
    cards = read_cards(params.prepare)
    runs = plan(params, cards)
    planned = {
        run.dataset + run.name: run_task(params, run, cards[run.dataset])
        for run in runs
        if run.configuration is not None
    }
    hierarchy = hierarchy_task(params)
    # First, as it takes longer than a small run, and would keep one worker after all others.
    tasks = [(HIERARCHY, hierarchy)]
    tasks += [
        (f"{run.dataset} {run.cell.name}", planned[run.dataset + run.name])
        for run in runs
        if run.configuration is not None
    ]
    progress, missing = progress_of(params, tasks), runs_without_configuration(runs)
    restart = superseded("confirm", definition())
    folder = state_folder("confirm", definition())
    checkpoints = checkpoints_of(storage_named(params.resources.storage), folder)
    store = RunStore(folder / "runs")
    finished = finished_runs(params, progress)
    tracking = LiveTracking(params, "confirm", progress.say)
    source = ConfirmSource(tasks, store, progress, checkpoints, finished, tracking)
    progress.say(
        f"{counted(len(planned), 'run')}"
        f"{f' ({len(missing)} more cannot be made)' if missing else ''} and the {HIERARCHY}, "
        f"{progress.parallel}; {progress.resumed()}"
    )
    if restart is not None:
        progress.say(restart)
    data: dict[str, Dataset] = {}
    if not source.exhausted:
        data = {name: load(name) for name in cards}
        drawn = {
            name: split
            for one in data.values()
            for name, split in draw_splits(one, params.confirm.splits).items()
        }
        with progress:
            engine.run(function, source, {**data, **drawn}, progress.tick)
    progress.summarise(source.failures(), "tasks")
    for line in tally(missing):
        progress.say(line)
    predictions = predictions_of(planned.values(), source.results)
    write_images(params, cards, store, data, predictions)
    write(params, runs, planned, source.results, cards)
    write_hierarchy(params, source.results[hierarchy.key], folder)


def write(
    params: Params,
    runs: list[Run],
    planned: dict[str, Task],
    results: dict[str, dict[str, Any]],
    cards: dict[str, bytes],
) -> None:
    """Write the tables of all data sets; a run that could not be planned is a failed row."""
    completed = 0
    keep = kept(params, {name: json.loads(card) for name, card in cards.items()}).what
    for name, card in cards.items():
        mine = []
        for run in (run for run in runs if run.dataset == name):
            task = planned.get(run.dataset + run.name)
            unplanned = {"row": {"status": "failed", "reason": run.reason}, "epochs": []}
            mine.append((run, results[task.key] if task is not None else unplanned))
        described = provenance(params, json.loads(card))
        described["confirm_sha256"] = runs_digest(params)
        rows = tables.write_confirm(CONFIRMED / name, params.study, mine, described, keep)
        completed += sum(row["status"] == "completed" for row in rows)
    if not completed:
        raise StageFailed(
            f"none of the {len(runs)} runs completed; all reasons are in "
            f"{CONFIRMED}/*/runs.parquet; to try the same again, remove {ROOT / 'confirm'}"
        )


def predictions_of(
    tasks: Iterable[Task], results: dict[str, dict[str, Any]]
) -> dict[tuple[str, str], Path]:
    """Return the predictions of the completed runs on the prepared split.

    By data set and key of the task.
    """
    return {
        (task.payload["dataset"], task.key): results[task.key]["predictions"]
        for task in tasks
        if "predictions" in results[task.key] and "split" not in task.payload
    }


def write_images(
    params: Params,
    cards: dict[str, bytes],
    store: RunStore,
    data: dict[str, Dataset],
    predictions: dict[tuple[str, str], Path],
) -> None:
    """Write the test images of every split of the data sets, and those most confidently wrong.

    Data sets are opened again only if they are not in `data` and something is missing.
    """
    for name, card in cards.items():
        opened = partial(data.__getitem__, name) if name in data else partial(load, name)
        images = list_images(store, name, card, opened, params.confirm.splits)
        described = provenance(params, json.loads(card))
        tables.write_images(CONFIRMED / name, params.study, name, images, described)
        mine = {key: path for (owner, key), path in predictions.items() if owner == name}
        if params.confirm.keep == "none":  # no pixels of test images either
            mine = {}
        wrong = find_mistakes(store, name, card, mine, images[0], opened)
        tables.write_mistakes(CONFIRMED / name, params.study, name, wrong, described)


def write_hierarchy(params: Params, found: dict[str, Any], folder: Path) -> None:
    """Write the hierarchy of encodings; that it failed is an error."""
    if found["row"]["status"] != "completed":
        reason = harmless(found["row"]["reason"] or found["row"]["status"])
        raise StageFailed(
            f"the {HIERARCHY} could not be measured; to try it again, remove {folder}: {reason}"
        )
    tables.write_hierarchy(
        CONFIRMED / "hierarchy.parquet",
        params.study,
        found["hierarchy"],
        provenance(params, None),
    )


def main(params: Params) -> None:
    """Run the stage as `params.yaml` states it."""
    plan(params, read_cards(params.prepare))  # refuses what is missing, before Ray is imported
    with running_stage("confirm", params.resources, partial(auto_share, params)) as (given, engine):
        confirm(params.model_copy(update={"resources": given}), engine)
