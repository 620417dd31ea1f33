"""The share of the loss due to asymmetry over training: when, of what, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import fake_study
import pytest
import torch
from torch import nn

from pipeline.confirm.measures.asymmetry_curve import asymmetry_curve, epochs_between
from pipeline.search.space import configuration
from pipeline.study.cells import cells
from pipeline.training.loop import Outcome, train


def trained(group: str, measured: bool, epochs: int = 3) -> Outcome:
    params = fake_study.study(group=[group], positional=["absolute"], epochs=epochs)
    data = fake_study.small_data()
    config = configuration(cells(params)[0], {"channels": 8}, params, data)
    return train(config, data, measure=asymmetry_curve(config, data) if measured else None)


@pytest.mark.parametrize(("group", "symmetric"), [("C1", False), ("C4", True), ("D4", True)])
def test_an_invariant_network_has_no_asymmetry_at_any_epoch(group: str, symmetric: bool) -> None:
    shares = [row["asymmetry_share"] for row in trained(group, True).epochs]
    assert shares[:-1] == [None, None], "sixteen images leave time for the last epoch alone"
    assert (shares[-1] < 1e-6) == symmetric


def test_measuring_changes_neither_weights_nor_other_columns() -> None:
    plain, measured = trained("C1", False), trained("C1", True)
    for name, value in plain.model.state_dict().items():
        assert value.equal(measured.model.state_dict()[name])
    timed = {"seconds", "training_seconds", "asymmetry_share"}
    for one, other in zip(plain.epochs, measured.epochs, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }


@pytest.mark.parametrize("train_images", [16, 300, 1000, 50_000])
@pytest.mark.parametrize("validation", [10, 128, 5000])
def test_measuring_takes_a_twentieth_of_the_passes_at_most(
    train_images: int, validation: int
) -> None:
    interval = epochs_between(train_images, validation)
    passes = 4 * min(validation, 128)
    assert passes / interval <= 0.05 * (3 * train_images + validation)
    assert interval == 1 or passes / (interval - 1) > 0.05 * (3 * train_images + validation)


def test_logits_without_loss_have_no_share() -> None:
    class Sure(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 10), torch.nan)

    row: dict[str, Any] = {"epoch": 1}
    asymmetry_curve({"epochs": 1}, fake_study.small_data())(Sure(), row)
    assert row["asymmetry_share"] is None
