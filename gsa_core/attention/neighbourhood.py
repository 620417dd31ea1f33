"""Cuts a grid of tokens into tiles of queries that share their keys, and says who sees whom."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["WINDOW_SHAPES", "Offsets", "Tiling"]

WINDOW_SHAPES = ("auto", "square", "disc", "soft_disc")

_TILE = 4  # queries a side that share their keys in local attention: the fastest in plain torch


class Offsets:
    """Offsets of keys from queries along each axis, in pixels.

    Parameters
    ----------
    rows, cols
        ``rows[i, k] = y_1 - x_1`` and ``cols[j, l] = y_2 - x_2``, integers.
    reaches
        Bounds of their magnitudes, of rows and of columns.
    """

    def __init__(
        self,
        rows: Int[Tensor, "rows key_rows"],
        cols: Int[Tensor, "cols key_cols"],
        reaches: tuple[int, int],
    ) -> None:
        self.rows, self.cols, self.reaches = rows, cols, reaches


class Tiling:
    """Tiles of a grid: the queries of a tile, and for keys the tile with a halo around it.

    Without a window there is one tile, the image, and no halo.

    Parameters
    ----------
    rows, cols
        Size of the grid in tokens.
    window
        Odd side of the neighbourhood, or ``None``.
    shape
        ``square``; ``disc``: every lattice point within ``window / 2``; ``soft_disc``: the disc
        weighted by ``cos^2(pi r / window)``, which falls to zero at its rim without a step.
    """

    def __init__(self, rows: int, cols: int, window: int | None, shape: str = "square") -> None:
        self.size, self.window, self.shape = (rows, cols), window, shape
        # A window that covers the image from its farthest corner changes nothing, unless it fades.
        self.radius = (window or 0) // 2
        self.local = window is not None and (
            shape == "soft_disc" or self._farthest_col(rows - 1) < cols - 1
        )
        self.halo = self.radius if self.local else 0
        # Largest offset of a key that a query sees, along each axis.
        reaches = [n - 1 if window is None else min(n - 1, self.radius) for n in self.size]
        self.reaches = (reaches[0], reaches[1])
        self.tile = (min(_TILE, rows), min(_TILE, cols)) if self.local else (rows, cols)
        self.tiles = tuple(-(-n // tile) for n, tile in zip(self.size, self.tile, strict=True))

    def split(
        self, tokens: Float[Tensor, "batch rows cols frames others heads head_dim"], halo: int
    ) -> Float[Tensor, "tiles batch frames others heads tile_rows tile_cols head_dim"]:
        """Cut into tiles that overlap by twice the halo, with zeros beyond the image."""
        if not self.local:
            return tokens.permute(0, 3, 4, 5, 1, 2, 6).unsqueeze(0)
        (height, width), (count_rows, count_cols) = self.tile, self.tiles
        beyond = (count_rows * height - self.size[0], count_cols * width - self.size[1])
        padding = (0,) * 8 + (halo, halo + beyond[1], halo, halo + beyond[0])
        tokens = functional.pad(tokens, padding)
        tokens = tokens.unfold(1, height + 2 * halo, height).unfold(2, width + 2 * halo, width)
        # (batch, tile rows, tile cols, frames, others, heads, head_dim, i, j)
        return tokens.permute(1, 2, 0, 3, 4, 5, 7, 8, 6).flatten(0, 1)

    def join(
        self, tokens: Float[Tensor, "tiles batch frames heads tile_rows tile_cols head_dim"]
    ) -> Float[Tensor, "batch rows cols frames heads head_dim"]:
        """Put the tiles of queries back together, cropped to the image."""
        tokens = tokens.unflatten(0, self.tiles).permute(2, 0, 5, 1, 6, 3, 4, 7)
        tokens = tokens.flatten(3, 4).flatten(1, 2)
        return tokens[:, : self.size[0], : self.size[1]]

    def offsets(self, device: torch.device) -> Offsets:
        """Offsets of keys from queries, the same in every tile; beyond what is seen clamped."""
        rows, cols = (
            (
                torch.arange(-self.halo, tile + self.halo, device=device)[None, :]
                - torch.arange(tile, device=device)[:, None]
            ).clamp(-reach, reach)
            for tile, reach in zip(self.tile, self.reaches, strict=True)
        )
        return Offsets(rows, cols, self.reaches)

    def neighbourhood(self, like: Tensor) -> tuple[list[int], Tensor | None]:
        """What every query sees, by offset: of each row offset the farthest column offset.

        Row offsets go from minus to plus their reach, and the farthest column is -1 where a row is
        not seen at all. The second value are the logarithms of a soft window's weights, ``(2 row
        reach + 1, 2 column reach + 1)`` in the type of `like`, ``None`` if all weights are one.
        """
        reach, col_reach = self.reaches
        rows = range(-reach, reach + 1)
        if not self.local:
            return [col_reach for _ in rows], None
        near = [min(self._farthest_col(row), col_reach) for row in rows]
        if self.shape != "soft_disc":
            return near, None
        row, col = (torch.arange(-n, n + 1, device=like.device) for n in self.reaches)
        return near, self._log_weights(row[:, None], col[None, :], like.dtype).to(like.dtype)

    def mask(self, like: Tensor) -> Tensor | None:
        """What a query sees, ``(tiles, queries, keys)``: keys in the window and in the image.

        Boolean, or for a soft window the logarithm of its weights, as precise as `like`. Queries
        beyond the image (the last tiles may stick out) see everything; they are cropped.
        """
        if not self.local:
            return None
        device = like.device
        seen, key_inside, query_inside = [], [], []
        for size, tile, count in zip(self.size, self.tile, self.tiles, strict=True):
            query = torch.arange(tile, device=device)
            key = torch.arange(-self.halo, tile + self.halo, device=device)
            start = tile * torch.arange(count, device=device)[:, None]
            seen.append(key[None, :] - query[:, None])
            key_inside.append((start + key >= 0) & (start + key < size))
            query_inside.append(start + query < size)
        keys = _of_pairs(*key_inside)[:, None, :]
        beyond = ~_of_pairs(*query_inside)[:, :, None]
        rows, cols = seen[0][:, None, :, None], seen[1][None, :, None, :]
        visible = (self._near(rows, cols).flatten(0, 1).flatten(1, 2) & keys) | beyond
        if self.shape != "soft_disc":
            return visible
        fading = self._log_weights(rows, cols, like.dtype).flatten(0, 1).flatten(1, 2)
        return (fading * ~beyond).masked_fill(~visible, -math.inf)

    def _log_weights(self, rows: Tensor, cols: Tensor, dtype: torch.dtype) -> Tensor:
        """Logarithm of a soft window's weights at offsets, clamped; in float32 or better."""
        wide = torch.promote_types(dtype, torch.float32)
        distance = (rows**2 + cols**2).to(wide).sqrt()
        inside = distance.clamp(max=(self.window or 1) / 2)
        return 2 * (math.pi * inside / (self.window or 1)).cos().clamp(min=1e-6).log()

    def _farthest_col(self, row: int) -> int:
        """Largest column offset in the window at a row offset, -1 if there is none."""
        if self.shape == "square":
            return self.radius if abs(row) <= self.radius else -1
        rest = (self.window or 1) ** 2 - 4 * row**2
        return math.isqrt(rest // 4) if rest >= 0 else -1

    def _near(self, rows: Tensor, cols: Tensor) -> Tensor:
        """Whether offsets lie in the window."""
        if self.shape == "square":
            return (rows.abs() <= self.radius) & (cols.abs() <= self.radius)
        return 4 * (rows**2 + cols**2) <= (self.window or 1) ** 2


def _of_pairs(rows: Tensor, cols: Tensor) -> Tensor:
    """``rows (tile rows, i)`` and ``cols (tile cols, j)`` to ``(tiles, i j)``, both true."""
    both = rows[:, None, :, None] & cols[None, :, None, :]
    return both.flatten(0, 1).flatten(1, 2)
