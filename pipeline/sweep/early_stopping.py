"""Reproducible early stopping: successive halving within a cell.

Asynchronous halving compares a trial with the trials that have reached the same epoch by then, so
its decisions depend on timing. Here a trial is compared with the generations before its own,
all of which have finished when it starts: its cut-offs are known then and are part of its
configuration, so that the worker stops it. Trials of the first generation are never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class SuccessiveHalving:
    """Stop a trial that is not among the best 1 / `reduction` of the trials before it.

    Parameters
    ----------
    reduction
        One in so many trials that reach a rung continues.
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

        >>> SuccessiveHalving(3, 1, 20).rungs
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
