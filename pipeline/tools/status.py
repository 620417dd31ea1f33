"""Print the progress of the study, from any terminal, running or not; change nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from pipeline.common.errors import UserError
from pipeline.common.failures import GOOD, Failure, command, failure_of, tally
from pipeline.common.units import counted
from pipeline.confirm import stage as confirm
from pipeline.confirm.plan import Run
from pipeline.confirm.result_store import read_record
from pipeline.execution.dispatcher import DASHBOARD
from pipeline.execution.live_table import VALIDATION, CellProgress, aligned, head_of
from pipeline.execution.running_tasks import running_tasks
from pipeline.execution.stage_inputs import read_cards, read_trials, search_digest
from pipeline.execution.state_folder import ROOT, state_path
from pipeline.results import records, schemas
from pipeline.results.provenance import data_digest
from pipeline.search.objectives import score
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.sweep import stage as sweep
from pipeline.sweep.cell_search import result_of
from pipeline.sweep.journal import ReadOnlyJournal
from pipeline.tools.summary import other_study
from pipeline.tools.support.stage_running import stage_running

__all__ = ["main", "status"]

MOST = 12  # running tasks that are listed with their epochs
# Of rows that this clone's state does not have, though the parameters are those of the study.
SAME = (
    "of these parameters, made in another clone or by other code; `dvc status` says whether "
    "`make study` makes them again"
)
OTHERS = "that other parameters made; `make study` replaces them"
UNKNOWN = "of an earlier version; `dvc status` says whether `make study` makes them again"


def main(given: object = None) -> None:
    """Print how far sweep and confirm are."""
    print("\n".join(status(load_params())))
    if (other := other_study()) is not None:
        print(f"report: {other}")


def status(params: Params) -> list[str]:
    """Write how far each data set of the study is, as of this moment."""
    lines: list[str] = []
    try:
        cards = read_cards(params.prepare)
    except UserError as error:
        return _not_prepared(params, error)
    for name in cards:
        if searched(params, name):
            lines += _sweep(params, name, cards[name])
    return [*lines, *_confirm(params, cards)]


def _not_prepared(params: Params, error: UserError) -> list[str]:
    """Say that the data are to be prepared before anything can be done with them."""
    if running := stage_running("prepare"):
        return [f"prepare: {running}", "sweep and confirm: wait for it"]
    return [f"prepare: `make study` of {params.study} begins with it", f"  {error}"]


def _sweep(params: Params, name: str, card: bytes) -> list[str]:
    """Write the table of one data set, and how to look closer."""
    running = stage_running("sweep")
    head = f"sweep of {name}: {running or 'not running'}"
    path = state_path("sweep", sweep.definition(params, card)) / "journal.log"
    if not path.exists():
        others = len(list((ROOT / "sweep").glob("*/journal.log")))
        rest = f" ({others} of other studies, data or code in {ROOT / 'sweep'})" if others else ""
        return [head, _kept_trials(params, name, card) or f"  no trial of this study yet{rest}"]
    journal = ReadOnlyJournal(path)
    storage, budget = JournalStorage(journal), params.sweep.trials_per_cell
    studies = {
        study.study_name: storage.get_all_trials(study._study_id, deepcopy=False)[:budget]
        for study in storage.get_all_studies()
    }
    # A trial without an end is running only while somebody runs the sweep.
    rows = [head_of(VALIDATION, "running" if running else "interrupted", "cell")]
    lost: list[Failure] = []
    for cell in searched(params, name):
        trials = studies.get(cell.name, [])
        # By number, since clocks may step back.
        ended = {trial.number: result for trial in trials
                 if (result := result_of(trial)) is not None}  # fmt: skip
        rows.append(_line(cell.name, trials, dict(sorted(ended.items())), budget))
        lost += _failures(name, cell.name, ended)
    return [
        head,
        *aligned(rows),
        *_running("sweep", f"{name} "),
        "  best validation: accuracy; since: trials that ended after the best one (new: it is the "
        "latest)",
        *(f"  {line}" for line in tally(lost)),
        f"  {len(journal.records)} whole records in {path}",
        # The dashboard may write, in records without a checksum: so it is given a copy.
        f"  to look closer: cp {path} look.log && optuna-dashboard look.log",
        *_dashboard(),
    ]


def _running(stage: str, prefix: str = "") -> Iterator[str]:
    """List the running tasks with the epoch that each has finished, as the stage noted them."""
    cells, left = running_tasks(stage)
    found = [
        f"{name.removeprefix(prefix)} {label}"
        for name, labels in cells.items()
        if name.startswith(prefix)
        for label in labels
    ]
    if found:
        more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
        yield f"  running now: {'; '.join(found[:MOST])}{more}"
        yield f"  {left}"


def _kept_trials(params: Params, name: str, card: bytes) -> str | None:
    """Say that a sweep's results are here though its state is not, and what made them."""
    table = sweep.SWEPT / name / "trials.parquet"
    try:
        count = len(read_trials(params, name, card, any_search=True))  # of these data
        same = records.read_provenance(table).get("sweep_sha256") == search_digest(params)
    except UserError:
        return None
    return f"  {table} has {counted(count, 'trial')} {SAME if same else OTHERS}"


def _dashboard() -> Iterator[str]:
    """Say how to see Ray's dashboard, unless the study is run without Ray."""
    if os.environ.get("GSA_ENGINE") != "in-process":
        yield f"  or run the study with {DASHBOARD}=1 for Ray's dashboard, which prints its address"


def _line(
    name: str, trials: list[FrozenTrial], ended: Mapping[int, Any], budget: int
) -> tuple[str, ...]:
    """Count the trials of one cell."""
    progress, bad = CellProgress(name, budget), Counter[str]()
    for result in ended.values():
        row = result["row"]
        progress.add(row["status"] in GOOD, score(row))
        if row["status"] != "completed":
            bad[row["status"]] += 1
    for trial in trials:
        if trial.state == TrialState.RUNNING and trial.number not in ended:
            progress.running[str(trial.number)] = ""
    cell, done, running, _, best, since, _ = progress.columns()
    failures = ", ".join(f"{count} {status}" for status, count in sorted(bad.items()))
    return cell, done, running, failures, best, since


def _failures(dataset: str, cell: str, ended: Mapping[int, Any]) -> Iterator[Failure]:
    """Yield the trials of a cell that have failed."""
    for number, result in ended.items():
        where = command(dataset, cell, f"--number {number}")
        if (failure := failure_of(result["row"], where)) is not None:
            yield failure


def _confirm(params: Params, cards: dict[str, bytes]) -> list[str]:
    """Write how many runs are kept."""
    head = f"confirm: {stage_running('confirm') or 'not running'}"
    tables = [sweep.SWEPT / name / "trials.parquet" for name in params.prepare.datasets]
    if not all(table.exists() for table in tables):
        return [head, "  waits for the sweep"]
    kept: Path = state_path("confirm", confirm.definition()) / "runs"
    try:
        planned = confirm.plan(params, cards)
    except UserError as error:  # the sweep is under way, or its section was changed
        return [head, f"  waits for the sweep: {error}"]
    missing = confirm.runs_without_configuration(planned)
    runs = [run for run in planned if run.configuration is not None]
    tasks = [confirm.run_task(params, run, cards[run.dataset]) for run in runs]
    found = [(task, value) for task in tasks if (value := read_record(kept, task.key)) is not None]
    failures = [failure_of(value["row"], task.payload["log_command"]) for task, value in found]
    lost = [failure for failure in failures if failure is not None]
    done = f"  {len(found)} of {len(runs)} runs done" + (f", {len(lost)} failed" if lost else "")
    done += f", {len(missing)} cannot be made" if missing else ""
    lines = [*_running("confirm"), *(f"  {line}" for line in tally([*lost, *missing]))]
    lines += _kept_runs(params, runs, cards, len(found))
    return [head, done, *lines]


def _kept_runs(
    params: Params, runs: Iterable[Run], cards: Mapping[str, bytes], state: int
) -> Iterator[str]:
    """Say what made the rows of these data, where the clone's state has fewer runs than they."""
    planned = {(run.dataset, run.cell.name, run.seed, run.trial) for run in runs}
    rows: Counter[str] = Counter()
    for name, card in cards.items():
        path = confirm.CONFIRMED / name / "runs.parquet"
        try:
            origin = records.read_provenance(path)
            table = records.read(path, schemas.RUNS)
        except (UserError, OSError):
            continue
        if origin.get("data_sha256") != data_digest(json.loads(card)):
            continue
        done = table[table["status"] == "completed"]
        if (made := origin.get("confirm_sha256")) == confirm.runs_digest(params):
            keys = zip(done["cell"], done["seed"], done["trial"], strict=True)
            rows[SAME] += len({(name, *key) for key in keys} & planned)
        else:
            rows[UNKNOWN if made is None else OTHERS] += len(done)
    for what, count in rows.items():
        if count > state:
            yield f"  {confirm.CONFIRMED} has {counted(count, 'run')} {what}"
