"""An exponential moving average of the weights of a network in training."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["WeightAverage"]


class WeightAverage:
    """The network with averaged weights: what is validated and kept in place of the last weights.

    ``average += (1 - d) (weights - average)`` after every optimiser step, of step t with
    ``d = min(decay, (1 + t) / (10 + t))``, so that the random weights of the start are forgotten
    soon.

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
        self._averages: list[Tensor] = list(self.model.parameters())
        self._weights: list[Tensor] = list(model.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an optimiser step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)

    @torch.no_grad()
    def measure_statistics(self, batches: Iterable[Tensor]) -> None:
        """Measure the running statistics of batch norm, which are those of the averaged weights.

        Statistics averaged over the same steps would be too large: a variance is convex in the
        weights. Nothing is dropped meanwhile, and no random number drawn.
        """
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm)]
        before = [norm.momentum for norm in norms]
        self.model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for number, images in enumerate(batches if norms else (), start=1):
            for norm in norms:
                # The mean over batches; by `None` torch would wait for its count of them.
                norm.momentum = 1 / number
            self.model(images)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
