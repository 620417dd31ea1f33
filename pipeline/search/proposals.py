"""Proposals of one cell that depend on seed, cell and number, never on who finished first.

A random proposal is a function of (seed, cell, number) alone. A model-based sampler looks at
earlier trials; so that this too is reproducible on any number of workers, proposals come in
generations of `GENERATION` trials: a proposal of generation g looks at all trials of the
generations before g and at none of its own, whichever of them have finished by then. The
points of `qmc` and `grid` form one design a cell: a function of (seed, cell) and the number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.designs import grid_point, sobol_point

# TPE's first proposals are random draws anyway, as many as it takes to fit its first model.
GENERATION = 10

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=GENERATION),
}
DESIGNS: dict[str, Callable[[Mapping[str, BaseDistribution], int, int], dict[str, Any]]] = {
    "qmc": sobol_point,
    "grid": grid_point,
}


def derived_seed(*parts: object) -> int:
    """Hash what identifies a random draw into a seed of 32 bits.

    >>> derived_seed(0, "cell", 1) == derived_seed(0, "cell", 1) != derived_seed(0, "cell", 2)
    True
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Proposer:
    """Proposes the hyperparameters of trial `number` of one cell.

    The sampler sees a study in memory that holds finished generations only; what is true of the
    real trials stays in the journal.
    """

    def __init__(
        self, sampler: str, seed: int, cell: str, space: Mapping[str, BaseDistribution]
    ) -> None:
        self.design = DESIGNS.get(sampler)
        self.make_sampler = SAMPLERS["random" if self.design else sampler]
        self.looks_back = sampler == "tpe"
        self.seed, self.cell, self.space = seed, cell, dict(space)
        self.study = optuna.create_study(direction="maximize")
        self.known = 0

    def needed(self, number: int) -> int:
        """Return how many trials must have finished before trial `number` is proposed."""
        return number - number % GENERATION if self.looks_back else 0

    def propose(self, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Propose trial `number`.

        Parameters
        ----------
        number : int
            Number of the trial in its cell.
        trials : sequence of FrozenTrial
            The cell's trials in order of number, at least the first `needed(number)` finished.
        """
        if self.design is not None:
            return self.design(self.space, derived_seed(self.seed, self.cell), number)
        for trial in trials[self.known : self.needed(number)]:
            self.study.add_trial(_result_of(trial))
        self.known = max(self.known, self.needed(number))
        self.study.sampler = self.make_sampler(derived_seed(self.seed, self.cell, number))
        return dict(self.study.ask(self.space).params)


def _result_of(trial: FrozenTrial) -> FrozenTrial:
    """Copy what a sampler may learn from: parameters, state, value."""
    if not trial.state.is_finished():
        raise ValueError(f"trial {trial.number} has not finished")
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params=trial.params,
        distributions=trial.distributions,
    )
