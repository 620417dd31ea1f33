"""What a source hands over: images and labels in the parts it comes in, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.registry import Source
from pipeline.errors import UserError

__all__ = ["Images", "Parts", "check_parts"]


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
    """

    images: np.ndarray
    labels: np.ndarray
    degrees: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Images:
        """Return some of the images, in the order of the indices."""
        degrees = None if self.degrees is None else self.degrees[indices]
        return Images(self.images[indices], self.labels[indices], degrees)


# "all", or "train" and "test", or "train", "validation" and "test": what the source has fixed.
Parts = dict[str, Images]

_FIXED = ({"all"}, {"train", "test"}, {"train", "validation", "test"})


def check_parts(parts: Parts, source: Source) -> None:
    """Refuse images and labels that are not what the registry says of their source.

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


def _problem(part: Images, source: Source) -> str | None:
    images, labels = part.images, part.labels
    shape = (source.channels, source.image_size, source.image_size)
    if images.shape[1:] != shape:
        return f"images have the shape {images.shape[1:]}, expected {shape}"
    if images.dtype not in (np.uint8, np.float32):
        return f"images are {images.dtype}, expected uint8 or float32"
    if labels.shape != (len(images),) or labels.dtype != np.int64:
        return f"{len(images):,} images, but labels {labels.dtype} of the shape {labels.shape}"
    if len(labels) == 0:
        return "there are no images"
    # Not a number fails both comparisons, so it is found here too.
    if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):
        return f"values go from {images.min()} to {images.max()}, expected 0 to 1"
    wrong = labels[(labels < 0) | (labels >= source.classes)]
    if len(wrong):
        return f"label {wrong[0]}, expected 0 to {source.classes - 1}"
    return None
