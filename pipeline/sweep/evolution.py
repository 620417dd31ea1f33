"""CMA-ES whose proposals follow from seed, cell, number and the generations before, alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from pipeline.search.designs import at

__all__ = ["Evolution"]


class Evolution:
    """An evolution strategy over quantiles of the space, from the middle of it.

    Optuna's own keeps its state as pickles in the attributes of trials. Here nothing is kept:
    the generations are replayed, a fraction of a millisecond each, from what the journal knows.

    Parameters
    ----------
    space
        Distributions by name; of choices the order counts, as that of numbers.
    seed
        Of all its draws.
    generation
        Trials of a generation.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int, generation: int) -> None:
        from cmaes import CMA

        self.space, self.told = dict(space), 0
        size = max(2, len(self.space))  # it knows no single dimension; a second one is ignored
        bounds = np.array([[0.0, 1.0]] * size)
        self.strategy = CMA(np.full(size, 0.5), 0.3, bounds, seed=seed, population_size=generation)
        self.generation = generation
        self.points = [self.strategy.ask() for _ in range(generation)]

    def propose(self, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Propose trial `number` from all trials of the generations before its own."""
        while self.told < number - number % self.generation:
            mine = trials[self.told : self.told + self.generation]
            losses = [_loss(trial) for trial in mine]
            self.strategy.tell(list(zip(self.points, losses, strict=True)))
            self.points = [self.strategy.ask() for _ in range(self.generation)]
            self.told += self.generation
        point = self.points[number - self.told]
        return {
            name: at(one, min(float(u), math.nextafter(1, 0)))
            for (name, one), u in zip(self.space.items(), point, strict=False)
        }


def _loss(trial: FrozenTrial) -> float:
    """Less is better; a trial without a value, or that breaks a constraint, is the worst."""
    broken = any(excess > 0 for excess in trial.constraints.values())
    return math.inf if broken or trial.values is None else -float(trial.values[0])
