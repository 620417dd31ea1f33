"""Scores of a classifier are those of scikit-learn, ties and absent classes included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from pipeline.training.scores import SCORES, classification_scores


def drawn(count: int, classes: int, levels: int | None, rare: bool) -> tuple[Any, Any]:
    draw = np.random.default_rng(count + classes)
    labels = np.r_[np.arange(classes), draw.integers(1 if rare else classes, size=count)]
    logits = draw.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += draw.random(len(labels)) * 3
    if levels is not None:  # many equal logits
        logits = np.round(logits * levels) / levels
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_scores_are_those_of_scikit_learn(classes: int, levels: int | None, rare: bool) -> None:
    logits, labels = drawn(80, classes, levels, rare)
    found = classification_scores(logits, labels)
    assert tuple(found) == SCORES
    predicted, shares = logits.argmax(1).numpy(), logits.double().softmax(1).numpy()
    area = (
        metrics.roc_auc_score(labels, shares[:, 1])
        if classes == 2
        else metrics.roc_auc_score(labels, shares, multi_class="ovr")
    )
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "auroc": area,
        "negative_log_likelihood": metrics.log_loss(labels, shares, labels=range(classes)),
    }
    assert found == pytest.approx(expected, abs=1e-6)


def test_classes_that_do_not_occur_are_in_no_mean() -> None:
    logits = torch.tensor([[3.0, 0.0, -9.0, -9.0], [0.0, 3.0, -9.0, -9.0], [3.0, 0.0, -9.0, -9.0]])
    found = classification_scores(logits, torch.tensor([0, 1, 1]))
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(0.75)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_a_single_class_has_no_area(labels: list[int]) -> None:
    found = classification_scores(torch.eye(3), torch.tensor(labels))
    assert math.isnan(found["auroc"])
    assert found["balanced_accuracy"] == found["accuracy"] == pytest.approx(1 / 3)


def test_logits_that_are_not_numbers_are_no_error() -> None:
    found = classification_scores(torch.full((4, 2), math.nan), torch.tensor([0, 1, 0, 1]))
    assert math.isnan(found["auroc"]) and math.isnan(found["negative_log_likelihood"])
