"""The measurements of a confirmed network: the same transformations for every model of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gsa_core.groups import act_on_image
from pipeline.confirm.measures.encodings import encoding_rows
from pipeline.confirm.measures.feature_maps import feature_rows
from pipeline.confirm.measures.layers import layer_rows
from pipeline.confirm.measures.lie_derivative import lie_errors
from pipeline.confirm.measures.measured_network import MIRRORS, QUARTER_TURNS, SQUARE, Orbit, Probe
from pipeline.confirm.measures.movements import move_rows, turn_rows
from pipeline.confirm.measures.predictions import image_order
from pipeline.confirm.measures.scores import calibration_error, calibration_rows, confusion_rows
from pipeline.dataset import Split
from pipeline.training.inference import to_pixels
from pipeline.training.precision import whole_float32
from pipeline.training.scores import classification_scores

Row = dict[str, Any]
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


@dataclass(frozen=True)
class Kept:
    """What is kept of every test image, in the order of `image_order`, by condition.

    Logits ``(images, classes)``, and the mean probabilities of averages over an orbit.
    """

    logits: dict[str, Tensor]
    averages: dict[str, Tensor]
    labels: Tensor


@whole_float32()
def measure(
    model: nn.Module,
    test: TestSplits,
    *,
    group: str,
    angles: int,
    layer_images: int,
    measured_images: int | None = None,
    features: bool = False,
) -> tuple[Measures, Kept]:
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
    measured_images
        How many images mirrors, shifts, angles between quarter turns and averages over D4 or over
        turned images are measured on, the same for every model; None is all. They are secondary,
        and take most of the time.
    features
        Keep feature maps of the first image at four turns, and the positional encoding as every
        frame sees it, for the pictures of them.
    """
    order = torch.from_numpy(image_order(len(test.upright)))
    chosen = order if measured_images is None else order[:measured_images]
    whole, turned = Probe(model, test.upright), Probe(model, test.turned)
    some, some_turned = whole.part(chosen), turned.part(chosen)
    upright = Orbit.of([whole.logits, *_under(whole, QUARTER_TURNS)], whole.labels)
    square = Orbit.of([*upright.first(chosen).logits, *_under(some, MIRRORS)], some.labels)
    turned_square = Orbit.of(
        [some_turned.logits, *_under(some_turned, (*QUARTER_TURNS, *MIRRORS))], some.labels
    )
    quarters = [whole.compared(upright.logits[k]) for k in QUARTER_TURNS]
    mirrors = [some.compared(square.logits[k]) for k in MIRRORS]
    run: Row = {
        **_upright_scores(whole),
        **_moved_scores(quarters, mirrors, whole.compared(turned.logits)),
        **_averaged_scores(upright, square, turned_square),
        "tied_images": None if whole.ties is None else int(whole.ties.sum()),
        "invariance_error_untied": whole.error_without_ties(upright.logits[1:]),
        "invariance_error_mirror_untied": some.error_without_ties(square.logits[MIRRORS.start :]),
        "calibration_error_turned": calibration_error(turned.logits, whole.labels),
        **lie_errors(model, some.pixels(0, MAX_LIE), _number(test.background)),
    }
    few = to_pixels(test.upright.images[:layer_images])
    both = {"upright": whole.logits, "turned": turned.logits}
    measures = Measures(
        run,
        angles=turn_rows(whole, some, quarters, angles, test.background),
        layers=layer_rows(model, few, group),
        moves=move_rows(some, quarters + mirrors, test.background),
        confusion=[r for k, v in both.items() for r in confusion_rows(k, v, whole.labels)],
        calibration=[r for k, v in both.items() for r in calibration_rows(k, v, whole.labels)],
        features=feature_rows(model, few[:1], group) if features else [],
        encodings=encoding_rows(model) if features else [],
    )
    return measures, _kept(order, upright, turned.logits, square, turned_square)


def _under(images: Probe, elements: Iterable[int]) -> list[Tensor]:
    """Return the logits of the images under some elements of D4."""
    return [images.logits_moved(partial(act_on_image, SQUARE, k)) for k in elements]


def _upright_scores(whole: Probe) -> Row:
    """Score the upright images; without images of a class there is no macro AUROC."""
    scores = classification_scores(whole.logits, whole.labels)
    occurring = len(whole.labels.unique())
    return {
        "test_images": len(whole.labels),
        "test_classes": occurring,
        "test_accuracy": scores.pop("accuracy"),
        **scores,
        "auroc": scores["auroc"] if occurring == whole.logits.shape[1] else None,
        "calibration_error": calibration_error(whole.logits, whole.labels),
    }


def _moved_scores(quarters: list[Row], mirrors: list[Row], turned: Row) -> Row:
    return {
        "test_accuracy_quarter_turned": _mean(quarters, "accuracy"),
        "test_accuracy_turned": turned["accuracy"],
        "invariance_error": _mean(quarters, "invariance_error"),
        "consistency": _mean(quarters, "consistency"),
        "invariance_error_mirror": _mean(mirrors, "invariance_error"),
        "consistency_mirror": _mean(mirrors, "consistency"),
        "invariance_error_turned": turned["invariance_error"],
        "consistency_turned": turned["consistency"],
    }


def _averaged_scores(upright: Orbit, square: Orbit, turned: Orbit) -> Row:
    """Score averages over orbits, and the asymmetry that they remove."""
    return {
        "measured_images": len(square.labels),
        "test_accuracy_tta_c4": upright.accuracy(4),
        # Quarter turns permute the orbit of an image under C4, so the average is the same.
        "test_accuracy_quarter_turned_tta_c4": upright.accuracy(4),
        "test_accuracy_tta_d4": square.accuracy(8),
        "test_accuracy_turned_tta_c4": turned.accuracy(4),
        "test_accuracy_turned_tta_d4": turned.accuracy(8),
        "asymmetry_share": upright.asymmetry_share(),
        "asymmetry_share_turned": turned.asymmetry_share(),
    }


def _kept(
    order: Tensor, upright: Orbit, turned: Tensor, square: Orbit, turned_square: Orbit
) -> Kept:
    """Return what is kept of every image; `square` and `turned_square` are in order already."""
    ordered = upright.first(order)
    names = ("upright", "quarter_90", "quarter_180", "quarter_270")
    return Kept(
        {**dict(zip(names, ordered.logits, strict=True)), "turned": turned[order]},
        {
            "tta_c4": ordered.probabilities(4),
            "tta_d4": square.probabilities(8),
            "turned_tta_c4": turned_square.probabilities(4),
            "turned_tta_d4": turned_square.probabilities(8),
        },
        ordered.labels,
    )


def _number(background: float | str) -> float:
    """What an image's border fades into; of ``edge`` it is black."""
    return 0 if isinstance(background, str) else background


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
