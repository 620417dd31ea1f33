"""Reproducible CMA-ES: a proposal depends on seed, cell, number and earlier generations alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from pipeline.search.designs import at


class Evolution:
    """CMA-ES over the quantiles of the search space, started in its centre.

    Optuna's `CmaEsSampler` keeps its state as pickles in the attributes of trials. Here nothing is
    kept: generations are replayed from the journal, a fraction of a millisecond each.

    Parameters
    ----------
    space
        Distributions by name; choices are ordered, as numbers are.
    seed
        Of all random draws.
    generation
        Trials of a generation.
    more_is_better
        Whether trials with higher values are the better ones.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        seed: int,
        generation: int,
        more_is_better: bool = True,
    ) -> None:
        from cmaes import CMA

        self.space, self.replayed = dict(space), 0
        self.sign = 1 if more_is_better else -1
        size = max(2, len(self.space))  # CMA needs two dimensions; a second one is ignored
        bounds = np.array([[0.0, 1.0]] * size)
        self.strategy = CMA(np.full(size, 0.5), 0.3, bounds, seed=seed, population_size=generation)
        self.generation = generation
        self.points = [self.strategy.ask() for _ in range(generation)]

    def propose(self, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Propose trial `number` from all trials of the generations before its own."""
        while self.replayed < number - number % self.generation:
            mine = trials[self.replayed : self.replayed + self.generation]
            losses = [_loss(trial, self.sign) for trial in mine]
            self.strategy.tell(list(zip(self.points, losses, strict=True)))
            self.points = [self.strategy.ask() for _ in range(self.generation)]
            self.replayed += self.generation
        point = self.points[number - self.replayed]
        return {
            name: at(one, min(float(u), math.nextafter(1, 0)))
            for (name, one), u in zip(self.space.items(), point, strict=False)
        }


def _loss(trial: FrozenTrial, sign: int) -> float:
    """Less is better; a trial without a value, or that breaks a constraint, is the worst."""
    broken = any(excess > 0 for excess in trial.constraints.values())
    return math.inf if broken or trial.values is None else -sign * float(trial.values[0])
