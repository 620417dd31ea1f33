"""Averages of a classifier over the orbit of its images, and what asymmetry costs it.

The probabilities are averaged, not the logits: the mean of the softmax over the transformed images
is itself a distribution, and its cross entropy is at most the mean of theirs, since the logarithm
is concave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["asymmetry_share", "mean_probabilities"]


def mean_probabilities(orbit: Sequence[Tensor]) -> Tensor:
    """Return the mean of the probabilities over an orbit, ``(images, classes)``, in float64.

    Parameters
    ----------
    orbit
        Logits ``(images, classes)`` of the images under each element of a group.
    """
    total = torch.zeros_like(orbit[0], dtype=torch.float64)
    for logits in orbit:
        total += logits.double().softmax(1)
    return total / len(orbit)


def asymmetry_share(orbit: Sequence[Tensor], labels: Tensor) -> float:
    """Return the share of the loss that is due to asymmetry, from 0 to 1.

    The mean cross entropy of the predictions over the orbit, less that of their average over the
    orbit, over the former (Nowara et al. 2025, arXiv 2512.02303). An invariant network has 0. NaN
    where the loss is 0 or not finite.

    Parameters
    ----------
    orbit
        Logits ``(images, classes)`` of the images under each element of a group.
    labels
        ``(images,)``.

    Examples
    --------
    >>> z = torch.tensor([[2.0, 0.0]])
    >>> asymmetry_share([z, z], torch.tensor([0]))
    0.0
    >>> round(asymmetry_share([z, -z], torch.tensor([0])), 3)
    0.385
    """
    chosen = labels[:, None]
    each = [-logits.double().log_softmax(1).gather(1, chosen).mean().item() for logits in orbit]
    loss = float(np.mean(each))
    if not 0 < loss < math.inf:
        return math.nan
    averaged = -mean_probabilities(orbit).gather(1, chosen).log().mean().item()
    return min(1.0, max(0.0, (loss - averaged) / loss))
