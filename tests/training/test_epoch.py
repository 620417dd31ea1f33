"""Epochs of a training: how many images and steps, the weights of classes, what each row counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import fake_study
import numpy as np
import pytest
import torch
from fake_study import small_data

from gsa_core import build_model, count_flops
from pipeline.dataset import Dataset, Split
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.training.epoch import Steps, class_weights
from pipeline.training.image_feed import fewer_images
from pipeline.training.loop import model_arguments, train
from pipeline.training.scores import SCORES


def config_of(cell: Cell | None = None, data: Any = None, **section: Any) -> dict[str, Any]:
    sampled = {"learning_rate": 0.003, "channels": 4}
    params = fake_study.study(**{"epochs": 2, "batch_size": 4, **section})
    cell = cell or Cell("gsa", "C1", "relative", 1, "stem")
    return {**configuration(cell, sampled, params, data or small_data())}


def steps_of(config: dict[str, Any], data: Dataset) -> Steps:
    few = fewer_images(data, config["training_images"])
    torch.manual_seed(0)
    model = build_model(**model_arguments(config, few))
    return Steps.of(model, config, few, len(data.train))


LIMITED = Cell("gsa", "C1", "relative", 1, "stem", training_images=10)


@pytest.mark.parametrize(("equal_steps", "images"), [(True, 16), (False, 10)])
def test_an_epoch_on_fewer_images_repeats_them(equal_steps: bool, images: int) -> None:
    config = config_of(LIMITED, equal_steps=equal_steps)
    steps = steps_of(config, small_data())
    batches = list(steps.batches())
    assert [len(batch) for batch in batches] == [4] * (images // 4) + [2] * (images % 4 > 0)
    often = Counter(np.concatenate(batches).tolist())
    assert set(often) == set(range(10))
    assert set(often.values()) <= ({1, 2} if equal_steps else {1})
    assert steps.schedule.total_steps == 2 * len(batches)


@pytest.mark.parametrize("cell", [None, LIMITED])
def test_rows_count_the_flops_and_seconds_of_training(cell: Cell | None) -> None:
    config = config_of(cell)
    outcome = train(config, small_data())
    flops = count_flops(build_model(**model_arguments(config, small_data())), (1, 8, 8))
    found = [row["training_flops"] for row in outcome.epochs]
    assert found == [3 * flops * 16, 3 * flops * 32]
    assert outcome.row["training_flops"] == found[-1]
    seconds = [row["training_seconds"] for row in outcome.epochs]
    assert 0 < seconds[0] < seconds[1] == outcome.row["training_seconds"]
    assert seconds[1] < sum(row["seconds"] for row in outcome.epochs)


@pytest.mark.parametrize("epochs", [*range(1, 12), 50])
def test_a_training_may_have_any_number_of_steps(epochs: int) -> None:
    steps = steps_of(config_of(epochs=epochs, batch_size=16), small_data())
    rates = []
    for _ in range(epochs):
        rates.append(steps.optimizer.param_groups[0]["lr"])
        steps.optimizer.step()
        steps.schedule.step()
    assert min(rates) > 0 and max(rates) <= 0.003 + 1e-12


def rare_data() -> Dataset:
    data = small_data()
    labels = np.array([0] * 12 + [1] * 3 + [2])
    return replace(data, train=Split(data.train.images, labels))


def test_balanced_weights_give_every_class_the_same_share_of_the_loss() -> None:
    data = rare_data()
    weights = class_weights(config_of(class_weights="balanced"), data, torch.device("cpu"))
    assert weights is not None
    counts = np.bincount(data.train.labels, minlength=10)
    shares = weights.numpy() * counts
    np.testing.assert_allclose(shares[:3], 16 / 3, rtol=1e-6)
    assert class_weights(config_of(), data, torch.device("cpu")) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("halves", [1, 2])
def test_weighted_steps_are_the_same_in_micro_batches(halves: int, smoothing: float) -> None:
    data = rare_data()
    config = {**config_of(class_weights="balanced"), "label_smoothing": smoothing}
    steps = steps_of({**config, "batch_parts": halves}, data)
    steps.model.eval()  # statistics of a batch are those of its parts
    total = steps.take(np.arange(12, 16))
    model = steps_of(config, data).model.eval()
    logits = model(torch.from_numpy(data.train.images[12:]))
    labels = torch.from_numpy(data.train.labels[12:])
    losses = torch.nn.functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=smoothing
    )
    weighted = losses * torch.tensor([16 / 36, 16 / 9, 16 / 3])[labels]
    torch.testing.assert_close(total, weighted.sum().detach())
    weighted.mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for one, other in zip(model.parameters(), steps.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "values", "best"),
    [
        ("accuracy", {"validation_accuracy": [0.5, 0.7, 0.6]}, 2),
        ("balanced_accuracy", {"validation_balanced_accuracy": [0.5, 0.4, 0.6]}, 3),
        ("macro_f1", {"validation_macro_f1": [0.9, 0.4, 0.6]}, 1),
        ("auroc", {"validation_auroc": [float("nan"), 0.4, 0.3]}, 2),
        ("negative_log_likelihood", {"validation_loss": [0.3, 0.2, 0.4]}, 2),
    ],
)
def test_the_best_epoch_is_that_of_the_first_objective(
    objective: str, values: dict[str, list[float]], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.training import loop

    [(column, series)] = values.items()
    name = column.removeprefix("validation_").replace("loss", "negative_log_likelihood")
    left = iter(series)

    def scores(*arguments: Any) -> dict[str, float]:
        same = dict.fromkeys(SCORES, 0.5)
        return {**same, name: next(left)}

    monkeypatch.setattr(loop, "classification_scores", scores)
    config = config_of(epochs=3, objectives=[objective])
    row = train(config, small_data()).row
    assert row["best_epoch"] == best
    assert row[column] == series[best - 1]
