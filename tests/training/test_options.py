"""Averaged weights, dropout in the head, stochastic depth, schedules: each off unless asked for."""

from __future__ import annotations

import copy
from typing import Any

import fake_study
import numpy as np
import pytest
import torch
from fake_study import small_data
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from gsa_core import build_model
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.study.hyperparameters import DEFAULTS
from pipeline.study.models import MODEL_KINDS
from pipeline.training.cost import trial_bytes
from pipeline.training.epoch import Steps, make_schedule
from pipeline.training.inference import logits_of, to_pixels
from pipeline.training.loop import model_arguments, train
from pipeline.training.training_state import TrainingState
from pipeline.training.weight_average import WeightAverage

EPOCHS = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "average": {"ema": 0.8},
    "head dropout": {"head_dropout": 0.3},
    "drop path": {"drop_path": 0.5},
    "cosine": {"schedule": "cosine"},
    "step": {"schedule": "step"},
    "all": {"ema": 0.8, "head_dropout": 0.3, "drop_path": 0.5, "schedule": "cosine"},
}
STAGED = Cell("staged", "C4", "relative", 1, "trunk")
ATTENTION = [Cell("gsa", "C4", "relative", 2, "stem"), Cell("vit", "C1", "absolute", 1, "patch"),
             Cell("symmetrized", "C4", "absolute", 1, "patch"), STAGED]  # fmt: skip
CONVOLUTION = [
    Cell("gcnn", "C4", "none", 1, "trunk"),
    Cell("staged_gcnn", "C4", "none", 3, "trunk"),
]


def config_of(cell: Cell = STAGED, **changes: Any) -> dict[str, Any]:
    params = fake_study.study(epochs=EPOCHS, batch_size=5, model=[cell.model])
    config = configuration(cell, {"learning_rate": 0.01, "channels": 4}, params, small_data())
    return {**config, **changes}


def steps_of(config: dict[str, Any]) -> Steps:
    torch.manual_seed(config["seed"])
    data = small_data()
    model = build_model(**model_arguments(config, data))
    return Steps.of(model, config, data, len(data.train))


def losses(config: dict[str, Any], **options: Any) -> list[tuple[float, float]]:
    rows = train(config, small_data(), **options).epochs
    return [(row["train_loss"], row["validation_loss"]) for row in rows]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_a_training_and_resumes_to_the_last_bit(name: str) -> None:
    config = config_of(**OPTIONS[name])
    states: list[bytes] = []
    whole = train(config, small_data(), on_state=lambda make: states.append(make().to_bytes()))
    rows = [(row["train_loss"], row["validation_loss"]) for row in whole.epochs]
    assert rows != losses(config_of())
    for state in states[:-1]:
        torch.manual_seed(7)  # another process
        again = train(config, small_data(), resume=TrainingState.from_bytes(state))
        assert [(row["train_loss"], row["validation_loss"]) for row in again.epochs] == rows
        for key, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, again.model.state_dict()[key]), key


@pytest.mark.parametrize("cell", [*ATTENTION, *CONVOLUTION], ids=lambda cell: cell.model)
def test_without_options_a_training_is_the_plain_one(cell: Cell) -> None:
    """AdamW, one cycle, clipped gradients: written out, with the same bits."""
    config, data = config_of(cell), small_data()
    steps = steps_of(config)
    torch.manual_seed(config["seed"])
    model = build_model(**model_arguments({**config, "head_dropout": 0}, data)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=4 * EPOCHS, pct_start=0.2
    )
    order = torch.Generator().manual_seed(config["seed"])
    batches = torch.randperm(16, generator=order).split(5)
    torch.manual_seed(1)
    for batch in batches:
        optimizer.zero_grad()
        images = to_pixels(data.train.images[batch.numpy()])
        labels = torch.from_numpy(data.train.labels[batch.numpy()])
        functional.cross_entropy(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    torch.manual_seed(1)
    steps.run_epoch()
    assert steps.evaluated is steps.model and steps.average is None
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, steps.model.state_dict()[key]), key


def test_options_are_off_in_a_study_that_does_not_name_them() -> None:
    off = {"ema": 0.0, "head_dropout": 0.0, "drop_path": 0.0, "label_smoothing": 0.0}
    assert off.items() <= DEFAULTS.items()
    assert off.items() <= config_of().items()
    assert config_of()["schedule"] == "one_cycle"


def test_a_configuration_from_before_the_options_trains_as_it_did() -> None:
    config = config_of(Cell("gsa", "C4", "relative", 1, "stem"))
    older = {k: v for k, v in config.items() if k not in ("ema", "schedule", "drop_path",
             "head_dropout", "basis", "kernel_size")}  # fmt: skip
    assert losses(older) == losses(config)


def test_the_average_follows_the_weights_by_its_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(0.0)
        average.model.weight.fill_(1.0)
    found = []
    for _ in range(9):
        average.update()
        found.append(average.model.weight.item())
    decays = [min(0.5, (1 + t) / (10 + t)) for t in range(1, 10)]
    np.testing.assert_allclose(found, np.cumprod(decays), rtol=1e-6)
    assert not average.model.weight.requires_grad and not average.model.training


@pytest.mark.parametrize("cell", [STAGED, CONVOLUTION[0], ATTENTION[0]], ids=lambda c: c.model)
def test_what_is_validated_and_kept_is_the_average(cell: Cell) -> None:
    config, seen = config_of(cell, ema=0.9, epochs=1), []
    outcome = train(config, small_data(), measure=lambda model, row: seen.append(model))
    steps = steps_of(config)
    steps.run_epoch()
    steps.measure_statistics()
    averaged = steps.evaluated.state_dict()
    kept = outcome.model.state_dict()
    assert all(torch.equal(kept[key], averaged[key]) for key in kept)
    assert any(not torch.equal(kept[key], x) for key, x in steps.model.state_dict().items())
    assert all(torch.equal(x, averaged[key]) for key, x in seen[0].state_dict().items())
    validation = small_data().validation
    logits, labels = logits_of(steps.evaluated, validation.images, 8), validation.labels
    loss = functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert outcome.epochs[0]["validation_loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("cell", [STAGED, CONVOLUTION[0]], ids=lambda cell: cell.model)
def test_statistics_of_batch_norm_are_those_of_the_averaged_weights(cell: Cell) -> None:
    steps = steps_of(config_of(cell, ema=0.7, learning_rate=0.05, head_dropout=0.5))
    for _ in range(2):
        steps.run_epoch()
    before = torch.get_rng_state()
    steps.measure_statistics()
    assert torch.equal(torch.get_rng_state(), before)
    assert steps.average is not None and not steps.evaluated.training
    found = {k: x for k, x in steps.evaluated.state_dict().items() if "running" in k}
    images = to_pixels(small_data().train.images)
    seen: dict[str, torch.Tensor] = {}

    def note(name: str) -> Any:
        return lambda module, given, result: seen.update({name: given[0].transpose(0, 1)})

    exact = copy.deepcopy(steps.evaluated)
    norms = {name: m for name, m in exact.named_modules() if isinstance(m, _BatchNorm)}
    for name, norm in norms.items():
        norm.train()
        norm.register_forward_hook(note(name))
    with torch.no_grad():
        exact(images)
    assert norms and {m.momentum for m in norms.values()} == {0.1}
    for name, values in seen.items():
        flat = values.flatten(1)
        torch.testing.assert_close(
            found[f"{name}.running_mean"], flat.mean(1), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(found[f"{name}.running_var"], flat.var(1), rtol=1e-4, atol=1e-5)


def test_weights_without_an_average_keep_their_statistics() -> None:
    steps = steps_of(config_of())
    steps.run_epoch()
    before = {key: tensor.clone() for key, tensor in steps.model.state_dict().items()}
    steps.measure_statistics()
    assert all(torch.equal(tensor, before[k]) for k, tensor in steps.model.state_dict().items())


def test_the_average_counts_as_memory() -> None:
    config, data = config_of(), small_data()
    weights = sum(4 * p.numel() for p in build_model(**model_arguments(config, data)).parameters())
    assert trial_bytes({**config, "ema": 0.9}, data) - trial_bytes(config, data) == weights


@pytest.mark.parametrize("cell", [*ATTENTION, *CONVOLUTION], ids=lambda cell: cell.model)
def test_a_dropped_head_has_the_logits_of_its_bias_for_some_images(cell: Cell) -> None:
    model = build_model(**model_arguments(config_of(cell, head_dropout=0.999), small_data()))
    images = torch.rand(8, 1, 8, 8)
    torch.manual_seed(0)
    logits = model.train()(images)
    bias = model.get_classifier().bias
    assert (logits == bias).all(1).any()
    assert not (model.eval()(images) == bias).all(1).any()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_deeper_blocks_are_dropped_more_often(depth: int) -> None:
    model = build_model("gsa", depth=depth, drop_path=0.4, image_size=8)
    found = [block.drop_path for block in model.blocks]
    assert found == pytest.approx([0.4 * (i + 1) / depth for i in range(depth)])


@pytest.mark.parametrize("cell", [c for c in ATTENTION if c.model != "symmetrized"],
                         ids=lambda cell: cell.model)  # fmt: skip
def test_a_dropped_block_keeps_its_input(cell: Cell) -> None:
    config = {**config_of(cell, drop_path=0.9999, positional="none"), "depth": 1}
    model = build_model(**model_arguments(config, small_data())).train()
    x = torch.rand(3, model.num_features, 4 if cell.group == "C4" else 1, 4, 4)
    torch.manual_seed(0)
    assert torch.equal(model.blocks[0](x), x)
    assert not torch.equal(model.eval().blocks[0](x), x)


@pytest.mark.parametrize("cell", CONVOLUTION, ids=lambda cell: cell.model)
def test_networks_without_blocks_have_no_drop_path(cell: Cell) -> None:
    assert "drop_path" in MODEL_KINDS[cell.model].lacks
    assert config_of(cell)["drop_path"] is None


def rates(name: str, total: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
    schedule, found = make_schedule(name, optimizer, 0.1, total), []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_a_cosine_warms_up_and_ends_near_zero() -> None:
    found = rates("cosine", 100)
    np.testing.assert_allclose(found[:6], [0.02, 0.04, 0.06, 0.08, 0.1, 0.1])
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(95) / 95))
    np.testing.assert_allclose(found[5:], expected)


def test_steps_come_at_a_half_and_three_quarters() -> None:
    np.testing.assert_allclose(rates("step", 8), [0.1] * 4 + [0.01] * 2 + [0.001] * 2)


@pytest.mark.parametrize("name", ["one_cycle", "cosine", "step"])
@pytest.mark.parametrize("total", [*range(1, 8), 41])
def test_a_schedule_of_any_length_has_rates_above_zero(name: str, total: int) -> None:
    found = rates(name, total)
    assert min(found) > 0 and max(found) <= 0.1 + 1e-12


def test_an_unknown_schedule_is_named() -> None:
    with pytest.raises(ValueError, match="schedule: got 'linear'; accepts one_cycle, cosine, step"):
        make_schedule("linear", torch.optim.SGD([torch.zeros(1)], 0.1), 0.1, 5)
