"""The search of one cell: its trials are proposed, started and finished in Optuna's journal."""

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
from pipeline.search.objectives import directions, values_of, violations
from pipeline.study.cells import Cell
from pipeline.study.objectives import OBJECTIVES
from pipeline.study.schema import GENERATION
from pipeline.sweep.early_stopping import SuccessiveHalving
from pipeline.sweep.proposals import Proposer

RESULT = "result"
# After so many trials with the same error and none completed, the rest of a cell is not run.
SAME_ERRORS = 3
NOT_RUN = f"not run: {SAME_ERRORS} trials of this cell failed before with "


@dataclass(frozen=True)
class Rules:
    """Settings of the search that all cells of a study share.

    Parameters
    ----------
    trials
        The budget of a cell.
    objectives, constraints
        Names of `pipeline.study.objectives.OBJECTIVES`; columns of a row and their bounds.
    halving
        Early stopping of trials, or None.
    patience
        Trials without an improvement after which the search of a cell ends.
    """

    trials: int
    objectives: tuple[str, ...] = ("accuracy",)
    constraints: Mapping[str, float] = field(default_factory=dict)
    halving: SuccessiveHalving | None = None
    patience: int | None = None

    @property
    def in_generations(self) -> bool:
        """Whether what a trial does depends on the generations before its own."""
        return self.halving is not None or self.patience is not None


class CellSearch:
    """One Optuna study; a trial is proposed in one journal record and finished in two.

    A trial that was running when the driver died is started again, with the same number
    and parameters; if its result had been written and only the closing
    record was missing, that record is added: nothing is lost or counted twice.

    In memory a trial is what samplers look at; rows and epochs stay in the journal.

    Parameters
    ----------
    dataset, cell
        The cell that is searched.
    storage : BaseStorage
        The journal.
    rules : Rules
        Of the study.
    proposer : Proposer
        Proposes hyperparameters by number.
    configure : callable
        Turns hyperparameters into the configuration that a worker trains:
        `pipeline.search.space.configuration` of the cell.
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
        """Data set and name of the cell, unique in the study."""
        return f"{self.dataset} {self.cell.name}"

    @property
    def upcoming(self) -> int | None:
        """Number of the trial to start next; None while it has to wait for others."""
        if self.waiting:
            return self.waiting[0]
        number = len(self.trials)
        ready = number < self.end and self.leading >= self.proposer.needed(number)
        return number if ready else None

    @property
    def complete(self) -> bool:
        """Whether all trials of the cell have finished."""
        return self.leading >= self.end

    @property
    def ended_by_patience(self) -> str | None:
        """Why the search ended before its budget was used up, or None."""
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

    def _close(self, number: int, result: dict[str, Any], recorded: bool) -> None:
        """Count an outcome; record in Optuna how the trial ended unless that is `recorded`."""
        trial = self._for_samplers(number, result)
        if not recorded:
            self.storage.set_trial_state_values(self.ids[number], trial.state, trial.values)
        self.trials[number] = trial
        row = result["row"]
        self.finished += 1
        self.elapsed = max(self.elapsed, result.get("elapsed", 0.0))
        self.completed += trial.state == TrialState.COMPLETE
        if row["status"] == "failed" and not row["reason"].startswith((DIED, NOT_RUN)):
            self.errors[row["reason"]] += 1
        self._advance()

    def _for_samplers(self, number: int, result: Mapping[str, Any]) -> FrozenTrial:
        """Return a finished trial with what samplers and early stopping need of it."""
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
        """Count the leading trials that have finished; end the search after `patience` trials.

        Decided where a generation ends, so that the order of finishing does not matter.
        """
        best = self.trials[self.last_better] if self.last_better >= 0 else None
        while self.leading < len(self.trials) and self.trials[self.leading].state.is_finished():
            trial = self.trials[self.leading]
            if is_better(trial, best, OBJECTIVES[self.rules.objectives[0]][1]):
                best, self.last_better = trial, self.leading
            self.leading += 1
            stale = self.leading - 1 - self.last_better
            patience = self.rules.patience
            if patience is not None and self.leading % GENERATION == 0 and stale >= patience:
                self.end = min(self.end, self.leading)

    @property
    def repeated_error(self) -> str | None:
        """Why the remaining trials are not run: the error of all trials so far; else None.

        Deaths of workers do not count: they may be the machine's fault.
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
    """Return the row, epochs and log of a trial of the journal; None while it is running."""
    kept = trial.user_attrs.get(RESULT)
    if kept is None:
        return None
    # Journals up to schema version 3 hold a dictionary.
    return dict(json.loads(kept) if isinstance(kept, str) else kept)


def is_better(trial: FrozenTrial, best: FrozenTrial | None, more_is_better: bool = True) -> bool:
    """Whether a trial is the best so far in the first objective, of those that count."""
    if trial.state != TrialState.COMPLETE or any(v > 0 for v in trial.constraints.values()):
        return False
    if best is None:
        return True
    gain = trial.values[0] - best.values[0]
    return bool(gain > 0 if more_is_better else gain < 0)


def _study_id(storage: BaseStorage, name: str, wanted: list[str]) -> int:
    """Find or create a cell's Optuna study in the journal."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        known = [optuna.study.StudyDirection[word.upper()] for word in wanted]
        return storage.create_new_study(known, name)
