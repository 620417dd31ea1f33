"""How a kernel is turned by a group element: from its pixels, or from functions of the plane.

A turned kernel is ``turned[h, u] = sum_v sampling[h, u, v] weight[v]``, one matrix an element.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.derivatives import is_transformed
from gsa_core.groups import PointGroup

__all__ = ["KERNEL_BASES", "basis_size", "kernel_sampling", "turned_kernels"]

KERNEL_BASES = ("bilinear", "gaussian")
_RING_WIDTH = 0.6  # standard deviation, in pixels
kept_kernels: WeakKeyDictionary[nn.Module, tuple[Tensor, Tensor]] = WeakKeyDictionary()


def basis_size(basis: str, size: int) -> int:
    """Weights of a kernel of ``size`` x ``size`` pixels, a pair of channels.

    >>> basis_size("bilinear", 7), basis_size("gaussian", 7)
    (49, 28)
    """
    return size**2 if basis == "bilinear" else len(_harmonics(size))


def kernel_sampling(
    group: PointGroup, size: int, basis: str = "bilinear"
) -> Float[Tensor, "group pixels weights"]:
    """Values of the functions that weights multiply, at ``h^-1 u`` for pixel u, in float64.

    ``bilinear``: the tent of each pixel, so weights are pixels; a permutation matrix for elements
    that keep the grid. ``gaussian``: circular harmonics on Gaussian rings,
    ``exp(-(|x| - j)^2 / 2 s^2) cos(m a)`` and ``sin(m a)`` for radius j = 0, 1, ... and frequency
    m <= 2 j, of unit norm on the grid; smooth, so turns by any angle blur nothing (Weiler et al.
    2018, https://arxiv.org/abs/1711.07289).
    """
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    grid = torch.cartesian_prod(axis, axis)  # (size^2, 2), rows first
    wanted = torch.einsum("hab,ub->hua", group.matrices[group.inverse], grid)
    # Rounded so that what is equal by symmetry is equal to the last bit in float32 too.
    if basis == "gaussian":
        norms = _functions(grid, size).norm(dim=0)
        return (_functions(wanted.round(decimals=10), size) / norms).round(decimals=10)
    return (1 - (wanted[:, :, None] - grid).abs()).clamp(min=0).prod(-1).round(decimals=10)


def _harmonics(size: int) -> list[tuple[int, int]]:
    """Radius and signed frequency of each function; sines have negative ones."""
    rings = range((size - 1) // 2 + 1)
    return [(ring, m) for ring in rings for m in range(-2 * ring, 2 * ring + 1)]


def _functions(points: Tensor, size: int) -> Tensor:
    """``(..., 2)`` positions to ``(..., functions)`` values, zero outside the inscribed disc."""
    radius, angle = points.norm(dim=-1), torch.atan2(points[..., 1], points[..., 0])
    # Pixels in the corners leave the kernel when it turns; the edge is soft, as a step is not.
    inside = torch.sigmoid((size / 2 - radius) * 4) if size > 1 else torch.ones_like(radius)
    columns = []
    for ring, m in _harmonics(size):
        wave = torch.sin(-m * angle) if m < 0 else torch.cos(m * angle)
        if m:
            wave = wave * (1 - torch.exp(-2 * radius**2))  # no direction at the centre
        columns.append(inside * wave * torch.exp(-((radius - ring) ** 2) / (2 * _RING_WIDTH**2)))
    return torch.stack(columns, -1)


def turned_kernels(layer: nn.Module, weight: Tensor, turn: Callable[[], Tensor]) -> Tensor:
    """The kernels of a layer for every group element; kept while nothing is learned.

    They are kept on the CPU, in evaluation without gradients, with a copy of the weights that they
    were made from: whatever changes the weights, kernels of other weights are never used.
    """
    plain = type(weight) is nn.Parameter and weight.device.type == "cpu"
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed()
    if layer.training or torch.is_grad_enabled() or not plain or recorded:
        return turn()
    if (found := kept_kernels.get(layer)) is not None and _same(found[0], weight):
        return found[1]
    with torch.inference_mode(False), torch.no_grad():  # of no inference mode, and no graph
        made = weight.detach().clone(), turn()
    kept_kernels[layer] = made
    return made[1]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
