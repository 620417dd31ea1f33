"""Accuracy on turned validation images: fixed turns, no other number changed, the best by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_study import small_data, study

from pipeline.search.space import configuration
from pipeline.study.budgets import validation_passes
from pipeline.study.cells import Cell
from pipeline.training import loop
from pipeline.training.augment import TurnedImages, turned_at_random
from pipeline.training.inference import logits_of, to_pixels
from pipeline.training.loop import train
from pipeline.training.training_state import TrainingState

TURNS = ["quarter", "turn", "turn_mirror"]
TURNED = "validation_accuracy_turned"


def config_of(*objectives: str, group: str = "C1", **sweep: Any) -> dict[str, Any]:
    cell = Cell("gsa", group, "relative", 1, "stem")
    params = study(epochs=3, batch_size=5, **sweep, objectives=list(objectives or ["accuracy"]))
    return configuration(cell, {"learning_rate": 0.01, "channels": 8}, params, small_data())


def test_a_study_that_does_not_ask_has_the_configuration_it_had() -> None:
    config = config_of(objective_turns="turn")
    assert "objective_turns" not in config and validation_passes(config) == 1
    assert TURNED not in train(config, small_data()).epochs[0]
    asking = config_of("accuracy", "accuracy_turned", objective_turns="turn")
    assert asking == {**config, "objective_turns": "turn"} and validation_passes(asking) == 2


@pytest.mark.parametrize("turns", TURNS)
def test_measuring_changes_no_other_number(turns: str) -> None:
    plain = train(config_of(), small_data())
    measured = train(config_of("accuracy", "accuracy_turned", objective_turns=turns), small_data())
    for before, after in zip(plain.epochs, measured.epochs, strict=True):
        same = before.keys() - {"seconds", "training_seconds"}
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert after.keys() - before.keys() == {TURNED}
    for one, other in zip(plain.model.parameters(), measured.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("turns", TURNS)
def test_it_is_the_accuracy_on_images_turned_once_for_all(turns: str) -> None:
    """Written out, for the kept network; other seeds see the same turned images."""
    data = small_data()
    for seed in (0, 7):
        config = {**config_of("accuracy_turned", objective_turns=turns), "seed": seed}
        outcome = train(config, data)
        images = turned_at_random(
            to_pixels(data.validation.images), turns, torch.Generator().manual_seed(0)
        )
        right = logits_of(outcome.model, images).argmax(1).numpy() == data.validation.labels
        assert outcome.row[TURNED] == right.mean()
        assert outcome.row[TURNED] == max(epoch[TURNED] for epoch in outcome.epochs)


def test_the_best_epoch_is_that_of_turned_images(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([0.25, 0.75, 0.5] * 2)
    monkeypatch.setattr(loop, "share_right", lambda logits, labels: next(left))
    asked = (["accuracy_turned"], ["negative_log_likelihood", "accuracy_turned"])
    rows = [train(config_of(*names), small_data()).row for names in asked]
    assert rows[0]["best_epoch"] == 2 and rows[0][TURNED] == 0.75
    assert rows[1][TURNED] == [0.25, 0.75, 0.5][rows[1]["best_epoch"] - 1]


def test_a_training_resumes_to_the_last_bit() -> None:
    config, states = config_of("accuracy_turned", objective_turns="turn"), []
    whole = train(config, small_data(), on_state=lambda make: states.append(make().to_bytes()))
    resumed = train(config, small_data(), resume=TrainingState.from_bytes(states[0]))
    assert [row[TURNED] for row in resumed.epochs] == [row[TURNED] for row in whole.epochs]
    assert resumed.row["best_epoch"] == whole.row["best_epoch"]


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("stored", ["float32", "uint8", "tensor"])
def test_slices_are_those_of_the_whole(stored: str, turns: str) -> None:
    draw = np.random.default_rng(1)
    images: Any = draw.random((10, 2, 5, 5), dtype=np.float32)
    if stored == "uint8":
        images = (255 * images).astype(np.uint8)
    pixels = to_pixels(images)
    turned = TurnedImages(torch.from_numpy(images) if stored == "tensor" else images, turns, "edge")
    whole = turned[0:10]
    expected = turned_at_random(pixels, turns, torch.Generator().manual_seed(0), "edge")
    assert len(turned) == 10 and torch.equal(whole, expected) and whole.dtype == torch.float32
    assert torch.equal(torch.cat([turned[0:3], turned[3:4], turned[4:12]]), whole)


def test_a_group_that_has_the_turns_is_as_accurate_on_turned_images() -> None:
    config = config_of("accuracy_turned", group="C4", objective_turns="quarter")
    for epoch in train(config, small_data()).epochs:
        assert epoch[TURNED] == epoch["validation_accuracy"]
