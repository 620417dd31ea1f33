"""What is measured of a confirmed network: the same transformations for every model of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gsa_core import (
    dihedral_group,
    layer_errors,
    point_group,
    prediction_consistency,
    rotate_image,
    shift_image,
)
from gsa_core.equivariance import logit_distance
from gsa_core.groups import act_on_image
from pipeline.datasets import Split
from pipeline.measuring.feature_maps import feature_rows
from pipeline.measuring.lie import lie_errors
from pipeline.measuring.scores import calibration_error, confusion_rows, spread
from pipeline.training import logits_of, to_pixels

__all__ = ["Measures", "TestSplits", "measure"]

Row = dict[str, Any]
SQUARE = dihedral_group(4)
QUARTER_TURNS = range(1, 4)
MIRRORS = range(4, 8)
SHIFTS = ((1, 0), (0, 1), (-1, 0), (0, -1), (2, 0), (0, 2))  # pixels down and to the right
# Angles between quarter turns, and shifts, are tried on so many images, evenly spaced in the test
# split and the same for every model: what is measured there is a curve, not a headline.
MOST_MOVED, MOST_LIE = 128, 32
BATCH = 256


@dataclass(frozen=True)
class TestSplits:
    """The test images as they are, and each turned by an angle of its own."""

    upright: Split
    turned: Split


@dataclass(frozen=True)
class Measures:
    """Columns of the run's row, and the rows of its other tables."""

    run: Row
    angles: list[Row]
    layers: list[Row]
    moves: list[Row] = field(default_factory=list)
    confusion: list[Row] = field(default_factory=list)
    features: list[Row] = field(default_factory=list)


def measure(
    model: nn.Module,
    test: TestSplits,
    *,
    group: str,
    angles: int,
    layer_images: int,
    features: bool = False,
) -> Measures:
    """Measure accuracy and symmetry of a trained network on the test split.

    Images are moved batch by batch, so that no second copy of the split is ever held.

    Parameters
    ----------
    model
        A network of `gsa_core.build_model`, trained.
    test
        The test splits.
    group
        Name of the network's group, whose elements its layers are tried with.
    angles
        Steps of a full turn.
    layer_images
        How many images the errors of the layers are measured on.
    features
        Keep the feature maps of the first image at four turns, for the picture of them.
    """
    whole = _Probe(model, test.upright)
    some = whole.part(MOST_MOVED)
    elements = [whole.moved(partial(act_on_image, SQUARE, k)) for k in range(1, 8)]
    quarters, mirrors = elements[:3], elements[3:]
    turned_logits = logits_of(model, test.turned.images)
    turned = whole.compared(turned_logits)
    run = {
        "test_accuracy": whole.accuracy(whole.logits),
        "test_accuracy_quarter_turned": _mean(quarters, "accuracy"),
        "test_accuracy_turned": turned["accuracy"],
        "invariance_error": _mean(quarters, "invariance_error"),
        "consistency": _mean(quarters, "consistency"),
        "invariance_error_mirror": _mean(mirrors, "invariance_error"),
        "consistency_mirror": _mean(mirrors, "consistency"),
        "invariance_error_turned": turned["invariance_error"],
        "consistency_turned": turned["consistency"],
        "calibration_error": calibration_error(whole.logits, whole.labels),
        "calibration_error_turned": calibration_error(turned_logits, whole.labels),
        **lie_errors(model, to_pixels(some.images[:MOST_LIE])),
    }
    moves = [
        {"kind": "element", "transformation": SQUARE.element_name(k), **row}
        for k, row in enumerate(elements, start=1)
    ]
    for rows, cols in SHIFTS:
        row = some.moved(partial(shift_image, rows=rows, cols=cols))
        moves.append({"kind": "shift", "transformation": f"{rows:+d} {cols:+d}", **row})
    exact = {0: whole.compared(whole.logits), **dict(zip((90, 180, 270), quarters, strict=True))}
    around = [_at_angle(some, exact, 360 * step / angles) for step in range(angles)]
    few = to_pixels(test.upright.images[:layer_images])
    confusion = confusion_rows("upright", whole.logits, whole.labels)
    confusion += confusion_rows("turned", turned_logits, whole.labels)
    maps = feature_rows(model, few[:1], group) if features else []
    return Measures(run, around, _layers(model, few, group), moves, confusion, maps)


@dataclass(frozen=True)
class _Probe:
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
        return self.split.images

    def part(self, most: int) -> _Probe:
        """At most so many images, evenly spaced: a split may be sorted by class."""
        if len(self.labels) <= most:
            return self
        chosen = np.linspace(0, len(self.labels) - 1, most).round().astype(int)
        split = Split(self.split.images[chosen], self.split.labels[chosen])
        return _Probe(self.model, split, self.logits[torch.from_numpy(chosen)])

    def moved(self, move: Callable[[Tensor], Tensor]) -> Row:
        """Compare with the logits of the moved images."""
        batches = [
            logits_of(self.model, move(to_pixels(self.split.images[start : start + BATCH])))
            for start in range(0, len(self.labels), BATCH)
        ]
        return self.compared(torch.cat(batches))

    def compared(self, moved: Tensor) -> Row:
        return {
            "accuracy": self.accuracy(moved),
            "consistency": prediction_consistency(self.logits, moved),
            "invariance_error": logit_distance(self.logits, moved) / max(self.spread, 1e-300),
            "images": len(moved),
        }

    def accuracy(self, logits: Tensor) -> float:
        return (logits.argmax(1) == self.labels).double().mean().item()


def _at_angle(some: _Probe, exact: dict[int, Row], angle: float) -> Row:
    """Measure at an angle; between the quarter turns it also measures the interpolation."""
    row = exact[int(angle)] if angle % 90 == 0 else some.moved(lambda x: rotate_image(x, angle))
    return {"angle_degrees": angle, "exact": angle % 90 == 0, **row}


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _layers(model: nn.Module, images: Tensor, group: str) -> list[Row]:
    """Equivariance errors of every layer alone, under the elements of the network's own group.

    The layers of a network without symmetry are tried with the quarter turns, in space alone.
    """
    own = point_group(group)
    tried = own if own.order > 1 else point_group("C4")
    elements = [element for element in tried.exact_elements if element]
    device = next(model.parameters()).device
    layers: dict[str, nn.Module] = model.layers()  # type: ignore[operator]
    errors = layer_errors(layers, images.to(device), tried, elements)
    return [
        {
            "layer": name,
            "layer_index": list(layers).index(name),
            "element": tried.element_name(element),
            "error": error,
        }
        for (name, element), error in errors.items()
    ]
