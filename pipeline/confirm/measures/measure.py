"""The measurements of a confirmed network: the same transformations for every model of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gsa_core import (
    dihedral_group,
    layer_errors,
    point_group,
    rotate_image,
    shift_image,
)
from gsa_core.groups import act_on_image
from pipeline.confirm.measures.encodings import encoding_rows
from pipeline.confirm.measures.feature_maps import feature_rows
from pipeline.confirm.measures.lie_derivative import lie_errors
from pipeline.confirm.measures.measured_network import Probe
from pipeline.confirm.measures.scores import calibration_error, calibration_rows, confusion_rows
from pipeline.dataset import Split
from pipeline.training.inference import logits_of, to_pixels

Row = dict[str, Any]
SQUARE = dihedral_group(4)
QUARTER_TURNS, MIRRORS = range(1, 4), range(4, 8)  # elements of D4
SHIFTS = ((1, 0), (0, 1), (-1, 0), (0, -1), (2, 0), (0, 2))  # pixels down and to the right
# Mirrors, shifts and angles between quarter turns are measured on a part of the test split, evenly
# spaced and the same for every model: they are secondary, and take most of the time.
PART, MIN_MOVED, MAX_MOVED = 1 / 7, 64, 512
MAX_LIE = 16


@dataclass(frozen=True)
class TestSplits:
    """The test images as they are, and each turned by a random angle.

    ``background`` is what lies outside of them (`pipeline.dataset.Dataset.background`).
    """

    upright: Split
    turned: Split
    background: float | str = 0


@dataclass(frozen=True)
class Measures:
    """Columns of the run's row, and the rows of its other tables."""

    run: Row
    angles: list[Row]
    layers: list[Row]
    moves: list[Row] = field(default_factory=list)
    confusion: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    features: list[Row] = field(default_factory=list)
    encodings: list[Row] = field(default_factory=list)


@contextmanager
def whole_float32() -> Iterator[None]:
    """Multiply in whole float32: TF32 keeps ten bits, and its rounding looks like a broken layer.

    On a GPU torch convolves in TF32 by default.
    """
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@whole_float32()
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
        Name of the network's group, under whose elements its layers are measured.
    angles
        Steps of a full turn.
    layer_images
        How many images the errors of the layers are measured on.
    features
        Keep feature maps of the first image at four turns, and the positional encoding as every
        frame sees it, for the pictures of them.
    """
    whole = Probe(model, test.upright)
    some = whole.part(min(max(round(PART * len(whole.labels)), MIN_MOVED), MAX_MOVED))
    quarters = [whole.moved(partial(act_on_image, SQUARE, k)) for k in QUARTER_TURNS]
    mirrors = [some.moved(partial(act_on_image, SQUARE, k)) for k in MIRRORS]
    turned_logits = logits_of(model, test.turned.images)
    turned = whole.compared(turned_logits)
    run: Row = {
        "test_images": len(whole.labels),
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
        **lie_errors(model, to_pixels(some.images[:MAX_LIE]), _number(test.background)),
    }
    moves = [
        {"kind": "element", "transformation": SQUARE.element_name(k), **row}
        for k, row in enumerate(quarters + mirrors, start=1)
    ]
    for rows, cols in SHIFTS:
        row = some.moved(partial(shift_image, rows=rows, cols=cols, outside=test.background))
        moves.append({"kind": "shift", "transformation": f"{rows:+d} {cols:+d}", **row})
    exact = {0: whole.compared(whole.logits), **dict(zip((90, 180, 270), quarters, strict=True))}
    around = [
        _at_angle(some, exact, 360 * step / angles, test.background) for step in range(angles)
    ]
    few = to_pixels(test.upright.images[:layer_images])
    both = {"upright": whole.logits, "turned": turned_logits}
    return Measures(
        run,
        around,
        layers=_layers(model, few, group),
        moves=moves,
        confusion=[r for k, v in both.items() for r in confusion_rows(k, v, whole.labels)],
        calibration=[r for k, v in both.items() for r in calibration_rows(k, v, whole.labels)],
        features=feature_rows(model, few[:1], group) if features else [],
        encodings=encoding_rows(model) if features else [],
    )


def _at_angle(some: Probe, exact: dict[int, Row], angle: float, background: float | str) -> Row:
    """Measure at an angle; between the quarter turns it also measures the interpolation."""
    exactly = exact.get(int(angle)) if angle % 90 == 0 else None
    row = exactly or some.moved(partial(rotate_image, degrees=angle, outside=background))
    return {"angle_degrees": angle, "exact": angle % 90 == 0, **row}


def _number(background: float | str) -> float:
    """What an image's border fades into; of ``edge`` it is black."""
    return 0 if isinstance(background, str) else background


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _layers(model: nn.Module, images: Tensor, group: str) -> list[Row]:
    """Equivariance errors of every layer alone, under the elements of the network's group.

    The layers of a network without symmetry are measured under quarter turns of space.
    """
    symmetry = point_group(group)
    if symmetry.order == 1:
        symmetry = point_group("C4")
    elements = [element for element in symmetry.exact_elements if element]
    device = next(model.parameters()).device
    layers: dict[str, nn.Module] = model.layers()  # type: ignore[operator]
    errors = layer_errors(layers, images.to(device), symmetry, elements)
    return [
        {
            "layer": name,
            "layer_index": list(layers).index(name),
            "element": symmetry.element_name(element),
            "error": error,
        }
        for (name, element), error in errors.items()
    ]
