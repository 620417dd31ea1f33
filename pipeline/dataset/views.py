"""Images of several arrays as one, and turned images, made when they are asked for.

Both stand in for an array of images in a `Split`: they have its length, shape and type, and are
indexed by a number, a slice or an array of numbers, which gives a plain array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.dataset.turning import turn

__all__ = ["Gathered", "Turned"]


class _View:
    """The parts of an array that views have in common."""

    indices: np.ndarray

    @property
    def source(self) -> np.ndarray:
        """An array of images of the same shape and type."""
        raise NotImplementedError

    def _of(self, places: np.ndarray) -> np.ndarray:
        """Return the images at places of the view, ``(count, ...)``."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(count, channels, height, width)``."""
        return len(self), *self.source.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.source.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all images, none of which has to be in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> np.ndarray:
        places = np.arange(len(self))[np.asarray(index) if isinstance(index, list) else index]
        images = self._of(np.atleast_1d(places))
        return images if np.ndim(places) else images[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True)
class Gathered(_View):
    """Some images of several arrays, as if these were one.

    Parameters
    ----------
    parts
        Arrays ``(count, channels, height, width)`` of one type.
    indices
        ``(chosen,)``, numbers of images among those of all parts.
    """

    parts: Sequence[np.ndarray]
    indices: np.ndarray

    @property
    def source(self) -> np.ndarray:
        """The first of the arrays."""
        return self.parts[0]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(len(part) for part in self.parts)])

    def _of(self, places: np.ndarray) -> np.ndarray:
        chosen = self.indices[places]
        owner = np.searchsorted(self._starts, chosen, side="right") - 1
        images = np.empty((len(chosen), *self.shape[1:]), dtype=self.dtype)
        for number, part in enumerate(self.parts):
            mine = owner == number
            images[mine] = part[chosen[mine] - self._starts[number]]
        return images


@dataclass(frozen=True)
class Turned(_View):
    """Images turned about their centres, each by its own angle, as `turn` does."""

    images: Any  # an array or a view
    degrees: np.ndarray
    background: float | str = 0

    @property
    def indices(self) -> np.ndarray:  # type: ignore[override]
        """One a turned image."""
        return self.degrees

    @property
    def source(self) -> np.ndarray:
        """The upright images."""
        upright: np.ndarray = self.images
        return upright

    def _of(self, places: np.ndarray) -> np.ndarray:
        return turn(self.images[places], self.degrees[places], self.background)
