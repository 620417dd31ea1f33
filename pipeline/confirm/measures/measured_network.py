"""A network, images, and its logits of them: what is compared when the images are moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gsa_core import prediction_consistency
from gsa_core.equivariance import logit_distance
from pipeline.confirm.measures.scores import spread
from pipeline.dataset import Split
from pipeline.training.inference import logits_of, to_pixels

Row = dict[str, Any]
BATCH = 256


@dataclass(frozen=True)
class Probe:
    """A network, images, and its logits of them as they are, to compare with when moved."""

    model: nn.Module
    split: Split
    known: Tensor | None = None

    def __post_init__(self) -> None:
        logits = logits_of(self.model, self.split.images) if self.known is None else self.known
        labels = torch.from_numpy(np.array(self.split.labels))
        for name, value in (("logits", logits), ("labels", labels), ("spread", spread(logits))):
            object.__setattr__(self, name, value)

    logits: Tensor = field(init=False)
    labels: Tensor = field(init=False)
    spread: float = field(init=False)

    @property
    def images(self) -> np.ndarray:
        """The images as they are stored."""
        return self.split.images

    def part(self, most: int) -> Probe:
        """Return at most `most` images, evenly spaced: a split may be sorted by class."""
        if len(self.labels) <= most:
            return self
        chosen = np.linspace(0, len(self.labels) - 1, most).round().astype(int)
        split = Split(self.split.images[chosen], self.split.labels[chosen])
        return Probe(self.model, split, self.logits[torch.from_numpy(chosen)])

    def moved(self, move: Callable[[Tensor], Tensor]) -> Row:
        """Compare with the logits of the moved images."""
        batches = [
            logits_of(self.model, move(to_pixels(self.split.images[start : start + BATCH])))
            for start in range(0, len(self.labels), BATCH)
        ]
        return self.compared(torch.cat(batches))

    def compared(self, moved: Tensor) -> Row:
        """Compare with the logits of moved images."""
        return {
            "accuracy": self.accuracy(moved),
            "consistency": prediction_consistency(self.logits, moved),
            "invariance_error": logit_distance(self.logits, moved) / max(self.spread, 1e-300),
            "images": len(moved),
        }

    def accuracy(self, logits: Tensor) -> float:
        """Share of right predictions."""
        return (logits.argmax(1) == self.labels).double().mean().item()
