"""What is measured of a confirmed network: the same transformations for every model of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gsa_core import (
    dihedral_group,
    invariance_error,
    layer_errors,
    point_group,
    prediction_consistency,
    rotate_image,
)
from gsa_core.groups import act_on_image
from pipeline.datasets import Split
from pipeline.training import logits_of, to_pixels

__all__ = ["Measures", "TestSplits", "measure"]

Row = dict[str, Any]
SQUARE = dihedral_group(4)
QUARTER_TURNS = range(1, 4)
MIRRORS = range(4, 8)


@dataclass(frozen=True)
class TestSplits:
    """The test images as they are, and each turned by an angle of its own."""

    upright: Split
    turned: Split


@dataclass(frozen=True)
class Measures:
    """Columns of the run's row, and the rows of its angles and layers."""

    run: Row
    angles: list[Row]
    layers: list[Row]


def measure(
    model: nn.Module, test: TestSplits, *, group: str, angles: int, layer_images: int
) -> Measures:
    """Measure accuracy and symmetry of a trained network on the test split.

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
    """
    images = to_pixels(test.upright.images)
    labels = torch.from_numpy(test.upright.labels.copy())
    logits = logits_of(model, images)
    quarters = [_moved(model, images, logits, labels, k) for k in QUARTER_TURNS]
    mirrors = [_moved(model, images, logits, labels, k) for k in MIRRORS]
    turned = _compare(logits, logits_of(model, test.turned.images), labels)
    run = {
        "test_accuracy": _accuracy(logits, labels),
        "test_accuracy_quarter_turned": _mean(quarters, "accuracy"),
        "test_accuracy_turned": turned["accuracy"],
        "invariance_error": _mean(quarters, "invariance_error"),
        "consistency": _mean(quarters, "consistency"),
        "invariance_error_mirror": _mean(mirrors, "invariance_error"),
        "consistency_mirror": _mean(mirrors, "consistency"),
        "invariance_error_turned": turned["invariance_error"],
        "consistency_turned": turned["consistency"],
    }
    around = [_turned(model, images, logits, labels, 360 * k / angles) for k in range(angles)]
    return Measures(run, around, _layers(model, images[:layer_images], group))


def _moved(model: nn.Module, images: Tensor, logits: Tensor, labels: Tensor, element: int) -> Row:
    """Measure at an element of D4, which moves pixels without interpolation."""
    moved = logits_of(model, act_on_image(SQUARE, element, images))
    return _compare(logits, moved, labels)


def _turned(model: nn.Module, images: Tensor, logits: Tensor, labels: Tensor, angle: float) -> Row:
    """Measure at an angle; between the quarter turns it also measures the interpolation."""
    moved = logits_of(model, rotate_image(images, angle))
    row = _compare(logits, moved, labels)
    return {"angle_degrees": angle, "exact": angle % 90 == 0, **row}


def _compare(logits: Tensor, moved: Tensor, labels: Tensor) -> Row:
    return {
        "accuracy": _accuracy(moved, labels),
        "consistency": prediction_consistency(logits, moved),
        "invariance_error": invariance_error(logits, moved),
    }


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


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
