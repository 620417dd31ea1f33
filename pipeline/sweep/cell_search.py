"""The trials of one cell, kept in Optuna's journal: proposed, handed out, finished, told once."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from pipeline.execution.tasks import DIED
from pipeline.search.objectives import directions, score, values_of, violations
from pipeline.search.space import Cell
from pipeline.sweep.early_stopping import Halving
from pipeline.sweep.proposals import GENERATION, Proposer

__all__ = ["CellLedger", "Rules", "result_of", "score"]

RESULT = "result"
# A cell of which nothing completed and so many trials failed with one error is not tried further.
SAME_ERRORS = 3
NOT_RUN = f"not run: {SAME_ERRORS} trials of this cell failed before with "


@dataclass(frozen=True)
class Rules:
    """What all cells of a study have in common.

    Parameters
    ----------
    trials
        The budget of a cell.
    objectives, constraints
        Names of `pipeline.search.objectives.OBJECTIVES`; columns of a row and their bounds.
    halving
        How trials are stopped early, if they are.
    patience
        Trials without an improvement after which a cell has ended.
    """

    trials: int
    objectives: tuple[str, ...] = ("accuracy",)
    constraints: Mapping[str, float] = field(default_factory=dict)
    halving: Halving | None = None
    patience: int | None = None

    @property
    def in_generations(self) -> bool:
        """Whether what a trial does depends on the generations before its own."""
        return self.halving is not None or self.patience is not None


class CellLedger:
    """One Optuna study; a trial is proposed in one journal record and finished in two.

    A trial that was running when the driver died is simply handed out again, under its own
    number and with its own parameters; if its result had been written and only the closing
    record was missing, that record is added. So nothing is lost, and nothing is counted twice.

    In memory a trial is what samplers look at; rows and epochs stay in the journal.

    Parameters
    ----------
    dataset, cell
        Whose trials.
    storage : BaseStorage
        The journal.
    rules : Rules
        Of the study.
    proposer : Proposer
        Proposes hyperparameters by number.
    configure : callable
        Turns hyperparameters into a whole configuration, for whoever runs the trial.
    """

    def __init__(
        self,
        dataset: str,
        cell: Cell,
        storage: BaseStorage,
        rules: Rules,
        proposer: Proposer,
        configure: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self.dataset, self.cell, self.storage, self.rules = dataset, cell, storage, rules
        self.proposer, self.configure = proposer, configure
        self.study_id = _study_id(storage, cell.name, directions(rules.objectives))
        self.trials: list[FrozenTrial] = []
        self.ids: list[int] = []
        self.errors: Counter[str] = Counter()
        self.completed, self.finished, self.elapsed = 0, 0, 0.0
        self.leading, self.last_better, self.end = 0, -1, rules.trials
        for trial in storage.get_all_trials(self.study_id, deepcopy=False):
            self.trials.append(trial)
            self.ids.append(trial._trial_id)
            if (result := result_of(trial)) is not None:
                self._close(trial.number, result, trial.state.is_finished())
        running = (t.number for t in self.trials[: self.end] if not t.state.is_finished())
        self.waiting = deque(running)

    @property
    def name(self) -> str:
        """Name of the cell within all data sets of the study."""
        return f"{self.dataset} {self.cell.name}"

    @property
    def upcoming(self) -> int | None:
        """Number of the trial that is to start next; None when none can start now."""
        if self.waiting:
            return self.waiting[0]
        number = len(self.trials)
        ready = number < self.end and self.leading >= self.proposer.needed(number)
        return number if ready else None

    @property
    def complete(self) -> bool:
        """Whether the whole budget is spent."""
        return self.leading >= self.end

    @property
    def impatient(self) -> str | None:
        """Why the cell has ended before its budget was spent, if it has."""
        if self.end == self.rules.trials:
            return None
        return f"no improvement in {self.rules.patience} trials"

    def start(self) -> dict[str, Any]:
        """Start the upcoming trial; return its hyperparameters, which are now in the journal."""
        if self.waiting:
            return dict(self.trials[self.waiting.popleft()].params)
        number = len(self.trials)
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=self.proposer.propose(number, self.trials),
            distributions=self.proposer.space,
        )
        trial.number = number
        self.ids.append(self.storage.create_new_trial(self.study_id, template_trial=trial))
        self.trials.append(trial)
        return dict(trial.params)

    def cutoffs(self, number: int) -> list[list[float]]:
        """Return after which epochs, and below which accuracy, a trial is to stop."""
        if self.rules.halving is None:
            return []
        return self.rules.halving.cutoffs(self.trials[: self.proposer.needed(number)])

    def finish(
        self, number: int, row: dict[str, Any], epochs: list[dict[str, Any]], log: str = ""
    ) -> None:
        """Write the outcome of a trial; a second outcome of the same trial is ignored."""
        if self.trials[number].state.is_finished():
            return
        if row["status"] == "completed" and self.rules.constraints:
            row["feasible"] = max(violations(row, self.rules.constraints).values()) <= 0
        result = {"row": row, "epochs": epochs, "elapsed": self.elapsed, "log": log}
        # As text: Optuna keeps it in memory, where dictionaries would take several times as much.
        text = json.dumps(result, separators=(",", ":"))
        self.storage.set_trial_user_attr(self.ids[number], RESULT, text)
        self._close(number, result, False)

    def _close(self, number: int, result: dict[str, Any], told: bool) -> None:
        """Take an outcome in; tell Optuna how the trial ended unless it has been `told`."""
        trial = self._seen(number, result)
        if not told:
            self.storage.set_trial_state_values(self.ids[number], trial.state, trial.values)
        self.trials[number] = trial
        row = result["row"]
        self.finished += 1
        self.elapsed = max(self.elapsed, result.get("elapsed", 0.0))
        self.completed += trial.state == TrialState.COMPLETE
        if row["status"] == "failed" and not row["reason"].startswith((DIED, NOT_RUN)):
            self.errors[row["reason"]] += 1
        self._advance()

    def _seen(self, number: int, result: Mapping[str, Any]) -> FrozenTrial:
        """Keep of a finished trial what samplers and rules look at."""
        row, known = result["row"], self.trials[number]
        values = values_of(row, self.rules.objectives)
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        rungs = self.rules.halving.rungs if self.rules.halving is not None else []
        reached = [epoch for epoch in result["epochs"] if epoch["epoch"] in rungs]
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if row["status"] == "stopped" else state,
            values=values,
            params=known.params,
            distributions=known.distributions,
            intermediate_values={e["epoch"]: e["validation_accuracy"] for e in reached},
            constraints=violations(row, self.rules.constraints) if values is not None else None,
        )
        trial.number = number
        return trial

    def _advance(self) -> None:
        """Count the leading trials that have finished; end a cell that has not improved for long.

        Looked at where a generation ends, so that it does not matter who finished first.
        """
        best = self.trials[self.last_better] if self.last_better >= 0 else None
        while self.leading < len(self.trials) and self.trials[self.leading].state.is_finished():
            trial = self.trials[self.leading]
            if is_better(trial, best):
                best, self.last_better = trial, self.leading
            self.leading += 1
            stale = self.leading - 1 - self.last_better
            patience = self.rules.patience
            if patience is not None and self.leading % GENERATION == 0 and stale >= patience:
                self.end = min(self.end, self.leading)

    @property
    def hopeless(self) -> str | None:
        """Why the rest of the cell need not run; None while there is hope.

        A dead worker is no such reason: that may be the machine's fault.
        """
        if self.completed or not self.errors:
            return None
        [(reason, count)] = self.errors.most_common(1)
        if count < SAME_ERRORS:
            return None
        return f"{NOT_RUN}{reason}"

    def results(self) -> list[tuple[FrozenTrial, dict[str, Any]]]:
        """Return the finished trials within the budget, each with its result."""
        mine = self.storage.get_all_trials(self.study_id, deepcopy=False)[: self.end]
        ended = ((trial, result_of(trial)) for trial in mine if trial.state.is_finished())
        return [(trial, result) for trial, result in ended if result is not None]


def result_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Return what a trial of the journal came to: its row, epochs and log; None before its end."""
    kept = trial.user_attrs.get(RESULT)
    if kept is None:
        return None
    # Journals of schema version 3 and before hold it as it is.
    return dict(json.loads(kept) if isinstance(kept, str) else kept)


def is_better(trial: FrozenTrial, best: FrozenTrial | None) -> bool:
    """Whether a trial has the highest accuracy so far, of those that count."""
    if trial.state != TrialState.COMPLETE or any(v > 0 for v in trial.constraints.values()):
        return False
    return best is None or trial.values[0] > best.values[0]


def _study_id(storage: BaseStorage, name: str, wanted: list[str]) -> int:
    """Find a cell's study in the journal, or begin it."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        known = [optuna.study.StudyDirection[word.upper()] for word in wanted]
        return storage.create_new_study(known, name)
