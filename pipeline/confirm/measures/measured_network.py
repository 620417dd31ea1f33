"""A network's logits of images, of the same images moved, and of their orbits under D4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gsa_core import dihedral_group, prediction_consistency
from gsa_core.equivariance import logit_distance
from gsa_core.models.canonical import Canonical
from pipeline.confirm.measures.scores import spread
from pipeline.dataset import Split
from pipeline.training.inference import INFERENCE_BATCH, logits_of, to_pixels
from pipeline.training.orbit_average import asymmetry_share, mean_probabilities
from pipeline.training.scores import share_right

__all__ = ["MIRRORS", "QUARTER_TURNS", "SQUARE", "MovedImages", "Orbit", "Probe"]

SQUARE = dihedral_group(4)
QUARTER_TURNS, MIRRORS = range(1, 4), range(4, 8)  # elements of D4; 0 is the identity

Row = dict[str, Any]
Move = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Probe:
    """A network, images, and its logits of them as they are, to compare with when moved.

    ``chosen`` are the numbers of the images in the split, None all; ``known`` their logits.
    """

    model: nn.Module
    split: Split
    chosen: Tensor | None = None
    known: Tensor | None = None

    def __post_init__(self) -> None:
        labels = torch.from_numpy(np.array(self.split.labels))
        labels = labels if self.chosen is None else labels[self.chosen]
        object.__setattr__(self, "labels", labels)
        logits = self.logits_moved(lambda images: images) if self.known is None else self.known
        object.__setattr__(self, "logits", logits)

    logits: Tensor = field(init=False)
    labels: Tensor = field(init=False)

    @cached_property
    def spread(self) -> float:
        """Mean distance between the logits of two different images."""
        return spread(self.logits)

    def pixels(self, start: int, stop: int) -> Tensor:
        """Return some of the images as numbers from 0 to 1."""
        chosen = slice(start, stop) if self.chosen is None else self.chosen[start:stop].numpy()
        return to_pixels(self.split.images[chosen])

    def part(self, chosen: Tensor) -> Probe:
        """Return the images of these numbers, of a probe of all."""
        return Probe(self.model, self.split, chosen, self.logits[chosen])

    def logits_moved(self, move: Move) -> Tensor:
        """Return the logits of the moved images, moved a batch at a time."""
        return logits_of(self.model, MovedImages(self, move))

    @cached_property
    def ties(self) -> Tensor | None:
        """Images whose orientation the network cannot choose; None of one that chooses none."""
        if not isinstance(self.model, Canonical):
            return None
        device = next(self.model.parameters()).device
        size = INFERENCE_BATCH
        starts = range(0, len(self.labels), size)
        with torch.no_grad():
            found = [self.model.ties(self.pixels(i, i + size).to(device)) for i in starts]
        return torch.cat(found).cpu()

    def error_without_ties(self, moved: Sequence[Tensor]) -> float | None:
        """Mean invariance error of images without a tie; None where none or all have one."""
        if self.ties is None or not self.ties.any() or self.ties.all():
            return None
        kept = ~self.ties
        distances = [logit_distance(self.logits[kept], logits[kept]) for logits in moved]
        return sum(distances) / len(distances) / max(self.spread, 1e-300)

    def moved(self, move: Move) -> Row:
        """Compare with the logits of the moved images."""
        return self.compared(self.logits_moved(move))

    def compared(self, moved: Tensor) -> Row:
        """Compare with the logits of moved images."""
        return {
            "accuracy": share_right(moved, self.labels),
            "consistency": prediction_consistency(self.logits, moved),
            "invariance_error": logit_distance(self.logits, moved) / max(self.spread, 1e-300),
            "images": len(moved),
        }


@dataclass(frozen=True)
class MovedImages:
    """The images of a probe, moved when a batch of them is asked for."""

    probe: Probe
    move: Move

    def __len__(self) -> int:
        return len(self.probe.labels)

    def __getitem__(self, some: slice) -> Tensor:
        """Return some of the moved images."""
        return self.move(self.probe.pixels(some.start, some.stop))


@dataclass(frozen=True)
class Orbit:
    """Logits of images under the first elements of D4: the four of C4, or all eight.

    Attributes
    ----------
    logits
        ``(images, classes)`` for each element, in the order of the group.
    labels
        ``(images,)``.
    """

    logits: tuple[Tensor, ...]
    labels: Tensor

    @classmethod
    def of(cls, logits: Iterable[Tensor], labels: Tensor) -> Orbit:
        """Join the logits under each element."""
        return cls(tuple(logits), labels)

    def first(self, images: Tensor) -> Orbit:
        """Return the orbit of some of the images, given by their numbers."""
        return Orbit(tuple(logits[images] for logits in self.logits), self.labels[images])

    def probabilities(self, order: int) -> Tensor:
        """Return the mean probabilities over C4 (order 4) or D4 (order 8)."""
        return mean_probabilities(self.logits[:order])

    def accuracy(self, order: int) -> float:
        """Return the accuracy of the mean probabilities."""
        return share_right(self.probabilities(order), self.labels)

    def asymmetry_share(self) -> float:
        """Return the share of the loss that is due to asymmetry under C4."""
        return asymmetry_share(self.logits[:4], self.labels)
