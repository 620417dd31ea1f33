"""Averages over an orbit, and the share of the loss due to asymmetry: by hand and at limits."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.training.orbit_average import asymmetry_share, mean_probabilities


def drawn(scale: float = 1.0, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(30, 5, generator=generator) for _ in range(4)]


def test_probabilities_are_averaged_not_logits() -> None:
    three = math.log(3.0)
    orbit = [torch.tensor([[three, 0.0]]), torch.tensor([[0.0, 0.0]])]
    assert mean_probabilities(orbit).tolist() == [pytest.approx([0.625, 0.375])]


def test_share_by_hand() -> None:
    # probabilities 3/4 and 1/4 of the label: losses log(4/3) and log 4, of their mean log 2
    orbit = [torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, math.log(3.0)]])]
    loss = (math.log(4 / 3) + math.log(4)) / 2
    assert asymmetry_share(orbit, torch.tensor([0])) == pytest.approx((loss - math.log(2)) / loss)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_share_is_one_of_a_whole(scale: float, seed: int) -> None:
    labels = torch.arange(30) % 5
    orbit = drawn(scale, seed)
    assert 0 < asymmetry_share(orbit, labels) < 1
    assert asymmetry_share(orbit[:1] * 4, labels) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("logits", [torch.tensor([[1e4, 0.0]]), torch.tensor([[math.nan, 0.0]])])
def test_no_loss_has_no_share(logits: torch.Tensor) -> None:
    assert math.isnan(asymmetry_share([logits] * 4, torch.tensor([0])))


def test_labels_that_are_held_impossible_are_finite() -> None:
    orbit = [torch.tensor([[-2e3, 0.0]]), torch.tensor([[2e3, 0.0]])]
    assert asymmetry_share(orbit, torch.tensor([0])) == pytest.approx(1, abs=1e-3)
