"""What is measured of a network, against hand-computed cases and independent ways."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gsa_core import build_model
from gsa_core.equivariance import logit_spread
from pipeline.confirm.measures.encodings import encoding_rows
from pipeline.confirm.measures.feature_maps import feature_rows
from pipeline.confirm.measures.lie_derivative import MOVEMENTS, disc, lie_errors, tangent
from pipeline.confirm.measures.measure import TestSplits as Splits
from pipeline.confirm.measures.measure import measure
from pipeline.confirm.measures.measured_network import Probe
from pipeline.confirm.measures.movements import passes
from pipeline.confirm.measures.predictions import CONDITIONS, image_order
from pipeline.confirm.measures.scores import (
    calibration_error,
    calibration_rows,
    confusion_rows,
    spread,
)
from pipeline.dataset import Split
from pipeline.results.schemas import (
    ANGLES,
    CALIBRATION,
    CONFUSION,
    ENCODINGS,
    FEATURES,
    LAYERS,
    MOVES,
    RUNS,
)


def network(positional: str = "relative", group: str = "C4") -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = build_model(group=group, positional=positional, tokens="stem", image_size=8, depth=1,
                        channels=8, num_heads=2)  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model.eval()


def images(n: int = 6) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("positional", ["none", "absolute", "relative"])
def test_lie_derivative_against_central_differences_of_the_whole(positional: str) -> None:
    model = network(positional)
    found = lie_errors(model, images(10))  # more than a batch
    double = model.double()
    x = images(10).double() * disc(8, 8)
    variance = double(x).var(0, unbiased=False).mean()
    step = 1e-5
    for name, movements in MOVEMENTS.items():
        squares = []
        for move in movements:
            change = step * tangent(x, move)
            difference = (double(x + change) - double(x - change)) / (2 * step)
            squares.append(difference.square().mean(1))
        each = torch.stack(squares).mean(0) / variance  # of every image
        expected, error = each.mean().item(), (each.std() / math.sqrt(10)).item()
        assert found[f"lie_{name}"] == pytest.approx(expected, rel=1e-5)
        assert found[f"lie_{name}_se"] == pytest.approx(error, rel=1e-5)
        assert found[f"lie_{name}_floor"] > 0


def test_lie_derivative_does_not_reward_small_or_constant_logits() -> None:
    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.inner, self.factor = network(), factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.factor * self.inner(x)

    small, large = (lie_errors(Scaled(factor), images())["lie_rotation"] for factor in (0.1, 100))
    assert small == pytest.approx(large, rel=1e-9)
    assert math.isnan(lie_errors(Scaled(0.0), images())["lie_rotation"])


def test_spread_is_that_of_the_library() -> None:
    logits = torch.randn(700, 5, generator=torch.Generator().manual_seed(0))
    assert spread(logits) == pytest.approx(logit_spread(logits), rel=1e-5)


def test_calibration_by_hand() -> None:
    # confidences 0.75 (right, wrong) and 0.5 (right): |1 - 1.5| + |1 - 0.5| over 3
    three = math.log(3.0)
    logits = torch.tensor([[three, 0.0], [three, 0.0], [0.0, 0.0]])
    labels = torch.tensor([0, 1, 0])
    assert calibration_error(logits, labels) == pytest.approx(1 / 3)
    rows = calibration_rows("upright", logits, labels)
    found = [(row["bin"], row["count"], row["accuracy"]) for row in rows]
    assert found == [(7, 1, 1), (11, 2, 0.5)]
    assert [row["confidence"] for row in rows] == pytest.approx([0.5, 0.75])


def test_confusion_counts() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    rows = confusion_rows("upright", logits, torch.tensor([0, 1, 1]))
    assert [tuple(row.values()) for row in rows] == [
        ("upright", 0, 0, 1), ("upright", 1, 0, 1), ("upright", 1, 1, 1),
    ]  # fmt: skip


def test_feature_maps_of_a_turned_input_are_turned_and_shifted() -> None:
    rows = feature_rows(network(), images(1), "C4")
    values: dict[tuple[str, int, int], np.ndarray] = {}
    for row in rows:
        size = 8 if row["layer"] == "input" else 4
        key = row["layer"], row["turn"], row["frame"]
        values.setdefault(key, np.zeros((size, size)))[row["row"], row["col"]] = row["value"]
    layers = {layer for layer, _, _ in values}
    assert len(layers) == 3
    for layer in layers - {"input"}:
        for turn in range(4):
            for frame in range(4):
                expected = np.rot90(values[layer, 0, (frame - turn) % 4], turn)
                np.testing.assert_allclose(values[layer, turn, frame], expected, atol=1e-5)
    assert feature_rows(network(group="C1"), images(1), "C1") == []


def acted(rows: list[dict]) -> np.ndarray:
    """Maps ``(frame, row, col)`` of an encoding."""
    shape = [1 + max(row[name] for row in rows) for name in ("frame", "row", "col")]
    maps = np.zeros(shape)
    for row in rows:
        maps[row["frame"], row["row"], row["col"]] = row["value"]
    return maps


@pytest.mark.parametrize("positional", ["absolute", "relative", "radial"])
@pytest.mark.parametrize("encoding", ["auto", "continuous"])
def test_every_frame_sees_the_encoding_acted_on(positional: str, encoding: str) -> None:
    model = build_model(group="D4", positional=positional, encoding=encoding, tokens="stem",
                        image_size=8, depth=1, channels=8).eval()  # fmt: skip
    maps = acted(encoding_rows(model))
    assert maps.shape == ((8, 4, 4) if positional == "absolute" else (8, 7, 7))
    for frame, seen in enumerate(maps):
        expected = np.flip(maps[0], 1) if frame >= 4 else maps[0]
        np.testing.assert_allclose(seen, np.rot90(expected, frame % 4), atol=1e-6)
    # A negative control: only a function of the distance looks the same from every frame.
    assert np.allclose(maps[1], maps[0], atol=1e-6) is (positional == "radial")


@pytest.mark.parametrize("positional", ["none", "rotary"])
def test_what_is_no_map_leaves_no_rows(positional: str) -> None:
    model = build_model(group="C1", positional=positional, tokens="stem", image_size=8, depth=1,
                        channels=8)  # fmt: skip
    assert encoding_rows(model) == []


def test_every_row_fits_its_table() -> None:
    x = images(20).numpy()
    labels = np.arange(20) % 10
    splits = Splits(Split(x, labels), Split(x[:, :, ::-1].copy(), labels))
    found, kept = measure(
        network(), splits, group="C4", angles=8, layer_images=4, features=True, measured_images=12
    )
    for rows, schema in (
        ([found.run], RUNS), (found.angles, ANGLES), (found.layers, LAYERS), (found.moves, MOVES),
        (found.confusion, CONFUSION), (found.features, FEATURES),
        (found.calibration, CALIBRATION), (found.encodings, ENCODINGS),
    ):  # fmt: skip
        assert rows and {name for row in rows for name in row} <= set(schema.names)
    elements = [row for row in found.moves if row["kind"] == "element"]
    assert len(elements) == 7 and len(found.moves) == 13
    assert np.mean([row["accuracy"] for row in elements[:3]]) == pytest.approx(
        found.run["test_accuracy_quarter_turned"])  # fmt: skip
    assert found.run["invariance_error"] < 1e-4 < found.run["invariance_error_mirror"]
    assert sum(row["count"] for row in found.confusion) == 40
    assert (found.run["measured_images"], found.run["test_classes"]) == (12, 10)
    assert {**kept.logits, **kept.averages}.keys() == set(CONDITIONS)
    sizes = {name: len(values) for name, values in {**kept.logits, **kept.averages}.items()}
    assert [name for name, size in sizes.items() if size == 12] == list(CONDITIONS[6:])
    assert len(kept.labels) == 20 and all(size in (12, 20) for size in sizes.values())
    assert kept.labels.tolist() == labels[image_order(20)].tolist()


def accuracies(**model: str) -> tuple[dict, Any]:
    """Columns of a run that is right on the upright images, and what is kept of it."""
    net = network(**model)
    ramp = torch.arange(8).float() / 7  # so that up and down, left and right differ
    bright = images(40) * ramp * ramp[:, None] ** 2
    with torch.no_grad():
        net.head.classify.bias -= net(bright).mean(0)  # what all images share says nothing
        net.head.classify.weight *= 2000
        net.head.classify.bias *= 2000
        x, labels = bright.numpy(), net(bright).argmax(1).numpy()
    turned = Split(x[:, :, ::-1].copy(), labels)
    measures, kept = measure(net, Splits(Split(x, labels), turned), angles=4, layer_images=2,
                             group=model["group"], measured_images=25)  # fmt: skip
    return measures.run, kept


@pytest.mark.parametrize(
    ("group", "invariant", "other"),
    [
        ("C4", ("tta_c4", "turned_tta_c4"), ("tta_d4", "turned_tta_d4")),
        ("D4", ("tta_c4", "tta_d4", "turned_tta_c4", "turned_tta_d4"), ()),
        ("C1", (), ("tta_c4", "tta_d4", "turned_tta_c4", "turned_tta_d4")),
    ],
)
def test_averaging_changes_nothing_for_an_invariant_network_alone(
    group: str, invariant: tuple[str, ...], other: tuple[str, ...]
) -> None:
    run, kept = accuracies(group=group)
    for name, probabilities in kept.averages.items():
        plain = kept.logits["turned" if name.startswith("turned") else "upright"]
        plain = plain[: len(probabilities)].double().softmax(1)
        if name in invariant:
            torch.testing.assert_close(probabilities, plain, atol=1e-3, rtol=0)
            assert probabilities.argmax(1).equal(plain.argmax(1))
        else:  # a negative control
            assert name in other and (probabilities - plain).abs().max() > 5e-3
    assert all(run[f"test_accuracy{end}"] == 1 for end in ("", "_tta_c4")) or group == "C1"
    assert run["test_accuracy_quarter_turned_tta_c4"] == run["test_accuracy_tta_c4"]
    for share in (run["asymmetry_share"], run["asymmetry_share_turned"]):
        assert share > 1e-3 if group == "C1" else share < 1e-6


def test_a_class_without_test_images_has_no_area() -> None:
    x = images(12).numpy()
    splits = Splits(*[Split(x, np.arange(12) % 9)] * 2)  # of ten classes
    run = measure(network(), splits, group="C4", angles=4, layer_images=2)[0].run
    assert run["auroc"] is None and run["test_classes"] == 9
    assert run["measured_images"] == 12 and 0 < run["macro_f1"] < 1


@pytest.mark.parametrize("tied", [0, 2, 6])
def test_images_whose_orientation_cannot_be_chosen_are_counted(tied: int) -> None:
    """Errors without them are those of the other images."""
    model = build_model("canonical", group="C4", image_size=8, channels=8, num_classes=3, depth=1)
    noise = images(30)
    clear = model.eval().margin(noise).topk(6).indices  # noise may be close to a tie, too
    pixels = noise[clear]
    pixels[:tied] = pixels[:tied] + pixels[:tied].flip(2, 3)  # half turns: two elements tie
    probe = Probe(model, Split(pixels.numpy(), np.arange(6) % 3))
    assert probe.ties is not None and probe.ties.tolist() == [i < tied for i in range(6)]
    moved = probe.logits + torch.arange(6)[:, None]
    error = probe.error_without_ties([moved, probe.logits])
    if tied in (0, 6):
        assert error is None
    else:
        kept = (moved - probe.logits)[tied:].norm(dim=1).mean().item() / probe.spread
        assert error == pytest.approx(kept / 2)
    assert Probe(network(), probe.split).ties is None


def test_a_forecast_counts_the_passes_of_measuring() -> None:
    assert passes(5000, 1000, 12) == 5 * 5000 + 1000 * (4 + 6 + 8 + 7)
