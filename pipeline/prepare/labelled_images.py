"""Images and labels as a source gives them, whole or in given splits, read in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.images.value_range import ImageSummary
from pipeline.study.source import Source


@dataclass(frozen=True)
class ImageChunk:
    """Consecutive images of a given split, as they were read.

    Attributes
    ----------
    images
        ``(count, channels, height, width)``; pixels of a bad image are arbitrary.
    problems
        What is wrong with an image, by its index in the given split.
    sizes
        ``(count, 2)``, height and width before they were fitted; None where nothing is fitted.
    """

    images: np.ndarray
    problems: dict[int, str] = field(default_factory=dict)
    sizes: np.ndarray | None = None


class ImageReader(Protocol):
    """Images that are read when they are asked for, so that they need not fit into memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    identity: str  # changes whenever what would be read changes

    def read(self, start: int, stop: int) -> ImageChunk:
        """Read the images from start to before stop; called from several threads."""
        ...


class InspectableReader(ImageReader, Protocol):
    """Images of a user, for which value range and background may be chosen automatically."""

    def inspect(self, start: int, stop: int) -> Iterator[ImageSummary]:
        """Summarise these images for the choices that hold for the whole data set."""
        ...


@dataclass(frozen=True)
class LabelledImages:
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
        ``(count,)``, int64, equal for images that must stay in one split; None without groups.
    group_names
        The name of each number in `groups`, the same list for all given splits.
    """

    images: np.ndarray | ImageReader
    labels: np.ndarray
    degrees: np.ndarray | None = None
    groups: np.ndarray | None = None
    group_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> LabelledImages:
        """Return some of the images, which are in memory, in the order of the indices."""
        assert isinstance(self.images, np.ndarray)
        degrees = None if self.degrees is None else self.degrees[indices]
        return LabelledImages(self.images[indices], self.labels[indices], degrees)


# By name: "all" where the source fixes no split, else "train" and "test", perhaps "validation".
GivenSplits = dict[str, LabelledImages]

_FIXED = ({"all"}, {"train", "test"}, {"train", "validation", "test"})


def check_given(given: GivenSplits, source: Source) -> None:
    """Refuse images and labels whose shapes, types or labels their source does not have.

    Raises
    ------
    UserError
        Naming the data set, the split, what was expected and what was found.
    """
    if set(given) not in _FIXED:
        raise UserError(f"{source.name}: gives the splits {sorted(given)}, which cannot be used")
    for name, images in given.items():
        problem = _problem(images, source)
        if problem:
            raise UserError(f"{source.name}, {name!r}: {problem}: the source is damaged")


def check_values(images: np.ndarray, source: Source, split: str) -> None:
    """Refuse float images with values outside 0 to 1, or NaN."""
    # Not a number fails both comparisons, so it is found here too.
    if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):
        raise UserError(
            f"{source.name}, {split!r}: values go from {images.min()} to {images.max()}, "
            "expected 0 to 1: the source is damaged"
        )


def _problem(given: LabelledImages, source: Source) -> str | None:
    images, labels = given.images, given.labels
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
