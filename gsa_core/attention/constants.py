"""Tensors that follow from the size of an image and a window, and are the same in every pass."""

from __future__ import annotations

import torch
from torch import Tensor

from gsa_core.attention.neighbourhood import Offsets, Tiling
from gsa_core.common.cached import constant

__all__ = ["mask_of", "offsets_of", "one_hot"]


@constant
def offsets_of(
    rows: int, cols: int, window: int | None, shape: str, device: torch.device
) -> Offsets:
    """As `Tiling.offsets`."""
    return Tiling(rows, cols, window, shape).offsets(device)


@constant
def mask_of(
    rows: int,
    cols: int,
    window: int | None,
    shape: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor | None:
    """As `Tiling.mask`, for tokens of a type."""
    return Tiling(rows, cols, window, shape).mask(torch.empty(0, dtype=dtype, device=device))


@constant
def one_hot(
    sizes: tuple[int, ...], present: tuple[bool, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """One-hot row, column and frame of every key (frame, row, column), ``(keys, rank)``."""
    parts = []
    for axis in (1, 2, 0):  # in the order of the scores: rows, columns, frames
        if not present[axis]:
            continue
        shape = [1, 1, 1, sizes[axis]]
        shape[axis] = sizes[axis]
        one_hot = torch.eye(sizes[axis], dtype=dtype, device=device).reshape(shape)
        parts.append(one_hot.expand(*sizes, -1).flatten(0, 2))
    return torch.cat(parts, -1)
