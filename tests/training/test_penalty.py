"""An equivariance penalty: off it changes no bit, on it makes a plain network more invariant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_study import small_data
from sklearn.datasets import load_digits
from test_options import config_of

from gsa_core import invariance_error
from pipeline.dataset import Dataset, Split
from pipeline.study.cells import Cell
from pipeline.training.cost import trial_bytes
from pipeline.training.inference import to_pixels
from pipeline.training.loop import train
from pipeline.training.penalty import invariance_penalty, with_penalty, with_turned
from pipeline.training.training_state import TrainingState

PENALISED = Cell("penalised", "C1", "relative", 1, "stem")
PLAIN = Cell("gsa", "C1", "relative", 1, "stem")


def losses(config: dict[str, Any], data: Dataset | None = None) -> list[tuple[float, float]]:
    rows = train(config, data or small_data()).epochs
    return [(row["train_loss"], row["validation_loss"]) for row in rows]


def digits() -> Dataset:
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train_split, validation = (
        Split(images[:400], labels[:400]),
        Split(images[400:800], labels[400:800]),
    )
    card = {"image_shape": [1, 8, 8], "classes": 10, "mean": [0.3], "std": [0.38]}
    return Dataset("digits", train_split, validation, card={**card, "counts": {}})


@pytest.mark.sampled(1)
@pytest.mark.parametrize("turns", ["quarter", "turn", "turn_mirror"])
def test_without_a_weight_no_bit_changes(turns: str) -> None:
    plain = config_of(PLAIN)
    assert losses(config_of(PENALISED, penalty=0.0, penalty_turns=turns)) == losses(plain)
    older = {key: x for key, x in plain.items() if not key.startswith("penalty")}
    assert losses(older) == losses(plain)
    assert losses(config_of(PENALISED, penalty=0.5, penalty_turns=turns)) != losses(plain)


def test_a_penalised_training_resumes_to_the_last_bit() -> None:
    config, states = config_of(PENALISED, penalty=1.0), []
    whole = train(config, small_data(), on_state=lambda make: states.append(make().to_bytes()))
    resumed = train(config, small_data(), resume=TrainingState.from_bytes(states[1]))
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_ratio_is_that_of_the_measured_error_and_knows_no_scale(scale: float) -> None:
    """Written out over all pairs, and the same for logits of any size."""
    torch.manual_seed(0)
    logits, moved = torch.randn(6, 3), torch.randn(6, 3)
    pairs = torch.cdist(logits, logits).square().sum() / 36  # an image with itself is one of them
    expected = (moved - logits).square().sum(1).mean() / pairs
    found = invariance_penalty(scale * logits, scale * moved)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert invariance_penalty(logits, logits) == 0


def test_one_image_alone_has_no_penalty() -> None:
    """The last part of a batch may be one image: nothing says how far logits lie apart."""
    logits = torch.randn(1, 3, requires_grad=True)
    found = invariance_penalty(logits, torch.randn(1, 3))
    found.backward()
    assert found == 0 and logits.grad is not None and not logits.grad.any()
    flat = torch.zeros(4, 3)
    assert invariance_penalty(flat, flat).isfinite()


def test_images_and_turned_ones_are_seen_once_each() -> None:
    images, generator = torch.rand(5, 1, 4, 4), torch.Generator().manual_seed(0)
    config = {"penalty": 2.0, "penalty_turns": "quarter"}
    both = with_turned(images, config, generator)
    logits, penalty = with_penalty(both.flatten(1)[:, :3], config)
    assert torch.equal(both[:5], images) and torch.equal(logits, images.flatten(1)[:, :3])
    for image, turned in zip(images, both[5:], strict=True):
        assert any(torch.equal(torch.rot90(image, k, (1, 2)), turned) for k in range(4))
    assert penalty == 2 * invariance_penalty(logits, both[5:].flatten(1)[:, :3])


def test_the_second_pass_is_counted() -> None:
    data = small_data()
    plain, penalised = (config_of(PENALISED, penalty=weight) for weight in (0.0, 1.0))
    rows = [train({**c, "epochs": 1}, data).row["training_flops"] for c in (plain, penalised)]
    assert rows[1] == 2 * rows[0]
    assert trial_bytes(penalised, data) > 1.2 * trial_bytes(plain, data)


def test_it_halves_the_measured_error_at_equal_validation_accuracy(
    pytestconfig: pytest.Config,
) -> None:
    """Digits that lie upright: the error of quarter turns, and accuracy.

    A short training of one seed nearly does; `--full` trains longer, with two seeds.
    """
    full = pytestconfig.getoption("--full")
    seeds, epochs, share, cost = ((1, 2), 20, 0.5, 0.01) if full else ((1,), 12, 0.6, 0.05)
    data = digits()
    errors: dict[float, list[float]] = {0.0: [], 0.7: []}
    accuracies: dict[float, list[float]] = {0.0: [], 0.7: []}
    images = to_pixels(data.validation.images)
    for weight, found in errors.items():
        for seed in seeds:
            config = config_of(PENALISED, penalty=weight, seed=seed, epochs=epochs, batch_size=32)
            outcome = train({**config, "channels": 16}, data)
            with torch.no_grad():
                logits = outcome.model(images)
                moved = [outcome.model(torch.rot90(images, k, (2, 3))) for k in (1, 2, 3)]
            found.append(float(np.mean([invariance_error(logits, x) for x in moved])))
            accuracies[weight].append(outcome.row["validation_accuracy"])
    assert np.mean(errors[0.7]) <= np.mean(errors[0.0]) * share
    assert np.mean(accuracies[0.7]) >= np.mean(accuracies[0.0]) - cost


def test_classes_that_weigh_more_keep_the_penalty() -> None:
    config = config_of(PENALISED, class_weights="balanced")
    assert losses({**config, "penalty": 1.0}) != losses(config)
