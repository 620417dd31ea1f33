"""Reproducible proposals of one cell: they depend on seed, cell and number, never on timing.

Proposals come in generations of `GENERATION` trials. A random one is a function of (seed, cell,
number) alone. A model-based sampler looks at earlier trials; so that this too is reproducible on
any number of workers, a proposal of generation g looks at trials of the generations before g and
at none of its own, whichever of them have finished by then. The points of `qmc` and `grid` form
one design a cell: a function of (seed, cell) and the number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.designs import grid_point, sobol_point
from pipeline.study.schema import GENERATION
from pipeline.sweep.evolution import Evolution

# TPE fits its model to the best and the latest trials, so that a proposal of a long search costs
# no more than one of a short search; it takes no more than 25 trials for good ones anyway. Where
# the latest begin moves in strides, because collecting the trials of the model again takes time.
BEST, LATEST, STRIDE = 50, 200, 100

DESIGNS: dict[str, Callable[[Mapping[str, BaseDistribution], int, int], dict[str, Any]]] = {
    "qmc": sobol_point,
    "grid": grid_point,
}
# Samplers whose proposals depend on results.
MODEL_BASED = ("tpe", "cmaes")


def derived_seed(*parts: object) -> int:
    """Hash what identifies a random draw into a seed of 32 bits.

    >>> derived_seed(0, "cell", 1) == derived_seed(0, "cell", 1) != derived_seed(0, "cell", 2)
    True
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Proposer:
    """Proposes the hyperparameters of trial `number` of one cell.

    The sampler sees a study in memory that holds finished generations only; the journal holds
    the trials themselves.

    Parameters
    ----------
    sampler : str
        ``tpe random qmc grid cmaes``.
    seed : int
        Of the study.
    cell : str
        Name of the cell, which decides the draws together with the seed.
    space : mapping
        Distributions by name.
    directions : sequence of str
        ``maximize`` or ``minimize``, of each objective.
    in_generations : bool
        Whether a trial waits for the generations before it, whatever the sampler.
    """

    def __init__(
        self,
        sampler: str,
        seed: int,
        cell: str,
        space: Mapping[str, BaseDistribution],
        directions: Sequence[str] = ("maximize",),
        in_generations: bool = False,
    ) -> None:
        self.sampler, self.seed, self.cell, self.space = sampler, seed, cell, dict(space)
        self.directions = [StudyDirection[word.upper()] for word in directions]
        self.in_generations = in_generations or sampler in MODEL_BASED
        self.evolution: Evolution | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # no line a study
        self.study = optuna.create_study(directions=self.directions)
        # The trials that the study holds: the best before `late`, and all from there to `known`.
        self.late, self.known = 0, 0
        self.generation, self.points = -1, list[dict[str, Any]]()

    def needed(self, number: int) -> int:
        """Return how many trials must have finished before trial `number` is proposed."""
        return number - number % GENERATION if self.in_generations else 0

    def propose(self, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Propose trial `number`.

        Parameters
        ----------
        number : int
            Number of the trial in its cell.
        trials : sequence of FrozenTrial
            The cell's trials in order of number, at least the first `needed(number)` finished.
        """
        if not self.space:
            return {}
        cell_seed = derived_seed(self.seed, self.cell)
        if self.sampler in DESIGNS:
            return DESIGNS[self.sampler](self.space, cell_seed, number)
        if self.sampler == "cmaes":
            if self.evolution is None or self.evolution.replayed > number:
                self.evolution = Evolution(
                    self.space, cell_seed, GENERATION, self.directions[0] == StudyDirection.MAXIMIZE
                )
            return self.evolution.propose(number, trials)
        generation = number - number % GENERATION
        if self.generation != generation:
            self.points = self._draw(generation, trials)
            self.generation = generation
        return dict(self.points[number - generation])

    def _draw(self, generation: int, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
        """Draw the whole generation that begins at a number: one model makes all its proposals."""
        seed = derived_seed(self.seed, self.cell, generation)
        if self.sampler == "tpe":
            sampler: BaseSampler = TPESampler(seed=seed, n_startup_trials=GENERATION)
            self._update_study(generation, trials)
        else:
            sampler = RandomSampler(seed=seed)
            self.study = optuna.create_study()
        self.study.sampler = sampler
        asked = [self.study.ask(self.space) for _ in range(GENERATION)]
        # TPE treats running trials as bad ones, which spreads the points of a generation; those of
        # earlier generations count by their results.
        for trial in asked:
            self.study.tell(trial, state=TrialState.FAIL)
        return [dict(trial.params) for trial in asked]

    def _update_study(self, generation: int, trials: Sequence[FrozenTrial]) -> None:
        """Fill the study with the trials that a model is fitted to: the best and the latest."""
        open_ones = [t.number for t in trials[self.known : generation] if not t.state.is_finished()]
        if open_ones:
            raise ValueError(f"trial {open_ones[0]} has not finished")
        late = max(0, generation - LATEST) // STRIDE * STRIDE
        if late != self.late or generation < self.known:
            self.study = optuna.create_study(directions=self.directions)
            self.study.add_trials(self._best(trials[:late]))
            self.known = self.late = late
        known = [t for t in trials[self.known : generation] if t.state != TrialState.FAIL]
        self.study.add_trials(known)
        self.known = generation

    def _best(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Choose the best trials by the first objective, in order of number."""
        sign = 1 if self.directions[0] == StudyDirection.MAXIMIZE else -1
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        best = sorted(complete, key=lambda trial: sign * trial.values[0], reverse=True)[:BEST]
        return sorted(best, key=lambda trial: trial.number)
