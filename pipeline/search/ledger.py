"""The trials of one cell, kept in Optuna's journal: proposed, handed out, finished, told once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from pipeline.execution.work import DIED
from pipeline.search.proposals import Proposer
from pipeline.search_space import Cell

RESULT = "result"
CONFIGURATION = "configuration"
# A cell of which nothing completed and so many trials failed with one error is not tried further.
SAME_ERRORS = 3
NOT_RUN = f"not run: {SAME_ERRORS} trials of this cell failed before with "


class CellLedger:
    """One Optuna study; a trial is proposed in one journal record and finished in two.

    A trial that was running when the driver died is simply handed out again, under its own
    number and with its own parameters; if its result had been written and only the closing
    record was missing, that record is added. So nothing is lost, and nothing is counted twice.

    Parameters
    ----------
    dataset, cell
        Whose trials.
    storage : BaseStorage
        The journal.
    budget : int
        Trials of the cell.
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
        budget: int,
        proposer: Proposer,
        configure: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self.dataset, self.cell, self.storage, self.budget = dataset, cell, storage, budget
        self.proposer, self.configure = proposer, configure
        self.study_id = _study_id(storage, cell.name)
        self.trials = storage.get_all_trials(self.study_id, deepcopy=False)
        for number, trial in enumerate(self.trials):
            if not trial.state.is_finished() and RESULT in trial.user_attrs:
                self._close(number, trial.user_attrs[RESULT])
        self.errors: Counter[str] = Counter()
        self.completed = 0
        for trial in self.trials:
            self._count(trial)
        self.waiting = [t.number for t in self.trials[:budget] if not t.state.is_finished()]

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
        earlier = self.trials[: self.proposer.needed(number)]
        ready = number < self.budget and all(t.state.is_finished() for t in earlier)
        return number if ready else None

    @property
    def complete(self) -> bool:
        """Whether the whole budget is spent."""
        mine = self.trials[: self.budget]
        return len(mine) == self.budget and all(t.state.is_finished() for t in mine)

    def start(self) -> dict[str, Any]:
        """Start the upcoming trial; return its hyperparameters, which are now in the journal."""
        if self.waiting:
            return dict(self.trials[self.waiting.pop(0)].params)
        number = len(self.trials)
        sampled = self.proposer.propose(number, self.trials)
        self._record(sampled, self.proposer.space)
        return sampled

    def _record(self, sampled: dict[str, Any], space: dict[str, BaseDistribution]) -> None:
        """Write a running trial to the journal, whole in one record."""
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=sampled, distributions=space
        )
        trial_id = self.storage.create_new_trial(self.study_id, template_trial=trial)
        self.trials.append(self.storage.get_trial(trial_id))

    def finish(self, number: int, row: dict[str, Any], epochs: list[dict[str, Any]]) -> None:
        """Write the outcome of a trial; a second outcome of the same trial is ignored."""
        trial = self.trials[number]
        if trial.state.is_finished():
            return
        result = {"row": row, "epochs": epochs}
        self.storage.set_trial_user_attr(trial._trial_id, RESULT, result)
        self._close(number, result)
        self._count(self.trials[number])

    def _close(self, number: int, result: dict[str, Any]) -> None:
        """Tell Optuna how a trial ended."""
        trial_id, value = self.trials[number]._trial_id, score(result["row"])
        if value is None:
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
        else:
            self.storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
        self.trials[number] = self.storage.get_trial(trial_id)

    def _count(self, trial: FrozenTrial) -> None:
        """Count how a trial ended."""
        row = trial.user_attrs[RESULT]["row"] if trial.state.is_finished() else {}
        self.completed += trial.state == TrialState.COMPLETE
        if row.get("status") == "failed" and not row["reason"].startswith((DIED, NOT_RUN)):
            self.errors[row["reason"]] += 1

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
        mine = self.trials[: self.budget]
        return [(trial, trial.user_attrs[RESULT]) for trial in mine if trial.state.is_finished()]


def score(row: Mapping[str, Any]) -> float | None:
    """Return what the sweep maximises, None for a trial that must never be the best."""
    value = row.get("validation_accuracy")
    if row["status"] != "completed" or value is None or not math.isfinite(value):
        return None
    return float(value)


def _study_id(storage: BaseStorage, name: str) -> int:
    """Find a cell's study in the journal, or begin it."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], name)
