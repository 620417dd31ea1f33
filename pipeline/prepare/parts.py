"""What a source hands over: images and labels in the parts it comes in, read shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.images.value_range import Look
from pipeline.study.datasets import Source

__all__ = [
    "Images",
    "Lazy",
    "Looked",
    "Parts",
    "Shard",
    "check_parts",
    "check_values",
    "read_shard",
]


@dataclass(frozen=True)
class Shard:
    """Some consecutive images as they were read.

    Attributes
    ----------
    images
        ``(count, channels, height, width)``; what stands in place of a bad image is arbitrary.
    problems
        What is wrong with the image of an index, counted in its whole part.
    sizes
        ``(count, 2)``, height and width before they were fitted; None where nothing is fitted.
    """

    images: np.ndarray
    problems: dict[int, str] = field(default_factory=dict)
    sizes: np.ndarray | None = None


class Lazy(Protocol):
    """Images that are read only when asked for, so that a part need not fit into memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    identity: str  # changes whenever what would be read changes

    def read(self, start: int, stop: int) -> Shard:
        """Read the images from start to before stop; called from several threads."""
        ...


class Looked(Lazy, Protocol):
    """Images of a user's own, whose values may need a choice for all of them."""

    def look(self, start: int, stop: int) -> Iterator[Look]:
        """Return what the choices for a whole data set need to know of these images."""
        ...


@dataclass(frozen=True)
class Images:
    """Images and their labels.

    Attributes
    ----------
    images
        ``(count, channels, height, width)``, uint8, or float32 from 0 to 1.
    labels
        ``(count,)``, int64.
    degrees
        ``(count,)``, float64: where the source is a turned one, the angle by which each of these
        upright images is to be turned; else None.
    groups
        ``(count,)``, int64, equal for images that must stay in one split; None where each may go
        its own way.
    """

    images: np.ndarray | Lazy
    labels: np.ndarray
    degrees: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Images:
        """Return some of the images, which are in memory, in the order of the indices."""
        assert isinstance(self.images, np.ndarray)
        degrees = None if self.degrees is None else self.degrees[indices]
        return Images(self.images[indices], self.labels[indices], degrees)


# "all", or "train" and "test", or "train", "validation" and "test": what the source has fixed.
Parts = dict[str, Images]

_FIXED = ({"all"}, {"train", "test"}, {"train", "validation", "test"})


def read_shard(images: np.ndarray | Lazy, start: int, stop: int) -> Shard:
    """Read some images, wherever they are."""
    if isinstance(images, np.ndarray):
        return Shard(images[start:stop])
    return images.read(start, stop)


def check_parts(parts: Parts, source: Source) -> None:
    """Refuse images and labels that are not what is known of their source, values aside.

    Raises
    ------
    UserError
        Naming the data set, the part, what was expected and what was found.
    """
    if set(parts) not in _FIXED:
        raise UserError(f"{source.name}: its parts are {sorted(parts)}, which no split is made of")
    for name, part in parts.items():
        problem = _problem(part, source)
        if problem:
            raise UserError(f"{source.name}, part {name!r}: {problem}: the source is damaged")


def check_values(images: np.ndarray, source: Source, part: str) -> None:
    """Refuse float images that leave 0 to 1 or hold something that is no number."""
    # Not a number fails both comparisons, so it is found here too.
    if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):
        raise UserError(
            f"{source.name}, part {part!r}: values go from {images.min()} to {images.max()}, "
            "expected 0 to 1: the source is damaged"
        )


def _problem(part: Images, source: Source) -> str | None:
    images, labels = part.images, part.labels
    shape = (source.channels, source.image_size, source.image_size)
    if images.shape[1:] != shape:
        return f"images have the shape {images.shape[1:]}, expected {shape}"
    if images.dtype not in (np.uint8, np.float32):
        return f"images are {images.dtype}, expected uint8 or float32"
    if labels.shape != (images.shape[0],) or labels.dtype != np.int64:
        return f"{images.shape[0]:,} images, but labels {labels.dtype} of the shape {labels.shape}"
    if len(labels) == 0:
        return "there are no images"
    wrong = labels[(labels < 0) | (labels >= source.classes)]
    if len(wrong):
        return f"label {wrong[0]}, expected 0 to {source.classes - 1}"
    return None
