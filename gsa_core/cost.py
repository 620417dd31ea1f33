"""What a configuration costs: parameters, FLOPs, and the width that meets a budget."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gsa_core.models import build_model

__all__ = ["count_flops", "count_parameters", "solve_channels"]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_flops(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Floating-point operations of one image's forward pass, attention included.

    Matrix products and convolutions, two operations a multiply-add; elementwise work is not
    counted.

    Parameters
    ----------
    model
        A network of this package.
    image_shape
        ``(channels, height, width)``.
    """
    parameter = next(model.parameters())
    image = torch.zeros(1, *image_shape, dtype=parameter.dtype, device=parameter.device)
    training = model.training
    model.eval()
    # The fused kernels of some devices are not counted; written as matrix products they are.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(image)
    model.train(training)
    return counter.get_total_flops()


def solve_channels(parameters: int, **arguments: Any) -> int:
    """Channels with which `build_model` comes closest to a number of parameters.

    Parameters
    ----------
    parameters
        The budget.
    **arguments
        Arguments of `build_model` other than ``channels``.

    Raises
    ------
    ValueError
        Where one channel is already more than twice the budget.

    Examples
    --------
    >>> wide, narrow = (solve_channels(30_000, group=name) for name in ("C1", "D4"))
    >>> wide > narrow
    True
    """

    def count(channels: int) -> int:
        with torch.random.fork_rng(devices=[]):  # counting leaves no trace in the generator
            return count_parameters(build_model(**arguments, channels=channels))

    if count(1) > 2 * parameters:
        raise ValueError(
            f"parameters: got {parameters}; one channel already takes {count(1)} parameters"
        )
    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((low, high), key=lambda channels: abs(count(channels) - parameters))
