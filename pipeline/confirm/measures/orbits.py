"""Test images under the elements of D4: averages over C4 and D4, and the loss due to asymmetry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from gsa_core import dihedral_group
from pipeline.training.orbit_average import asymmetry_share, mean_probabilities
from pipeline.training.scores import share_right

__all__ = ["MIRRORS", "QUARTER_TURNS", "SQUARE", "Orbit"]

SQUARE = dihedral_group(4)
QUARTER_TURNS, MIRRORS = range(1, 4), range(4, 8)  # elements of D4; 0 is the identity


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
