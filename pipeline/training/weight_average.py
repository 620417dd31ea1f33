"""An exponential moving average of the weights of a network in training."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """The network with averaged weights: what is validated and kept in place of the last weights.

    ``average += (1 - d) (weights - average)`` after every optimiser step, of step t with
    ``d = min(decay, (1 + t) / (10 + t))``, so that the random weights of the start are forgotten
    soon. Running statistics of batch norm are averaged like weights, hence belong to the same
    steps; what is counted in whole numbers is taken over.

    Parameters
    ----------
    model
        The network that is trained.
    decay
        Above 0 and below 1; 0.999 averages over about a thousand steps.

    Attributes
    ----------
    model
        A copy of the network, with averaged weights.
    steps
        How many steps were averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay, self.steps = decay, 0
        pairs = list(
            zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        )
        real = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages, self._weights = [one for one, _ in real], [other for _, other in real]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an optimiser step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for count, latest in self._counts:
            count.copy_(latest)
