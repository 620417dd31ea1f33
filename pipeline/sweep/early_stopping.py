"""Successive halving within a cell, by decisions that come again.

Asynchronous halving compares a trial with whatever trials happen to have got as far, so its
decisions depend on who was faster. Here a trial is compared with the generations before its own,
all of which have finished when it starts: its cut-offs are known then, are part of its
configuration, and a worker stops by itself. Trials of the first generation are never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

__all__ = ["Halving"]


@dataclass(frozen=True)
class Halving:
    """When a trial stops: where it is not among the best 1 / `reduction` of those before it.

    Parameters
    ----------
    reduction
        Of so many trials that reach a rung, one goes on.
    min_epochs
        The first rung; each further one is `reduction` times as far.
    epochs
        Epochs of a whole trial.
    """

    reduction: int
    min_epochs: int
    epochs: int

    @property
    def rungs(self) -> list[int]:
        """Epochs after which a trial may be stopped.

        >>> Halving(3, 1, 20).rungs
        [1, 3, 9]
        """
        rungs, epoch = [], self.min_epochs
        while epoch < self.epochs:
            rungs.append(epoch)
            epoch *= self.reduction
        return rungs

    def cutoffs(self, trials: Sequence[FrozenTrial]) -> list[list[float]]:
        """Return ``[epoch, least accuracy]`` of each rung that enough earlier trials reached.

        Parameters
        ----------
        trials
            Finished trials of the cell, with their accuracies as intermediate values.
        """
        cutoffs: list[list[float]] = []
        for rung in self.rungs:
            reached = [t.intermediate_values[rung] for t in trials if rung in t.intermediate_values]
            if len(reached) >= self.reduction:
                best = sorted(reached, reverse=True)
                cutoffs.append([rung, best[len(best) // self.reduction - 1]])
        return cutoffs
