"""Staged networks: their size, symmetry in training, sizes of images, one image alone."""

from __future__ import annotations

import pytest
import torch
from cases import EXACT_GROUPS, randomised
from torch.nn import functional

from gsa_core import (
    act_on_image,
    build_model,
    count_flops,
    count_parameters,
    invariance_error,
    point_group,
)

MODELS = ("staged", "staged_gcnn")


def network(model="staged", **options):
    return randomised(build_model(model, **{"channels": 4, "image_size": 8, **options}))


@pytest.mark.parametrize(
    ("model", "group", "parameters"),
    [
        ("staged", "C4", 108_954),
        ("staged_gcnn", "C4", 65_754),
        ("staged", "C8", 204_090),
        ("staged_gcnn", "C8", 127_962),
    ],
)
def test_parameters_of_the_defaults(model, group, parameters):
    assert count_parameters(build_model(model, group=group)) == parameters


@pytest.mark.parametrize(("channels", "widths"), [(16, (16, 24, 24, 32)), (1, (1, 2, 2, 2))])
def test_stages_widen_in_one_ratio(channels, widths):
    stages = build_model("staged_gcnn", channels=channels).stages
    images, found = torch.zeros(2, 1, 28, 28), []
    for stage in stages:
        images = stage(images)
        found.append(images.shape[1])
    assert tuple(found) == widths
    assert images.shape[2:] == (4, 7, 7)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 7), (8, 13)])
@pytest.mark.parametrize("model", MODELS)
def test_images_of_any_size(model, size, noise):
    with torch.no_grad():
        assert network(model, image_size=size)(noise(2, 1, *size)).isfinite().all()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize("model", MODELS)
def test_control_networks_see_what_is_outside_their_group(model, size, noise):
    images, square = noise(4, 1, size, size), point_group("D4")
    for name in EXACT_GROUPS:
        own = {tuple(m.flatten().tolist()) for m in point_group(name).matrices}
        trained = network(model, group=name, image_size=size)
        for element in range(1, 8):
            inside = tuple(square.matrices[element].flatten().tolist()) in own
            moved = trained(act_on_image(square, element, images))
            error = invariance_error(trained(images), moved)
            assert (error < 1e-12) == inside
            assert inside or error > 1e-3


@pytest.mark.parametrize("name", EXACT_GROUPS)
@pytest.mark.parametrize("model", MODELS)
def test_invariant_in_training_too(model, name, noise):
    """Statistics of the batch, and what is dropped, are those of a turned batch as well."""
    group, images = point_group(name), noise(4, 1, 8, 8)
    options = {"dropout": 0.5} if model == "staged" else {}
    trained = network(model, group=name, **options).train()

    def logits(x):
        torch.manual_seed(0)
        return trained(x)

    for element in range(group.order):
        assert invariance_error(logits(images), logits(act_on_image(group, element, images))) < 1e-9


def test_dropout_is_in_training_alone(noise):
    images = noise(8, 1, 8, 8)
    dropped, kept = (network(head_dropout=p, dropout=0.0) for p in (0.5, 0.0))
    assert torch.equal(dropped(images), kept(images))
    assert not torch.allclose(dropped.train()(images), kept.train()(images))
    with pytest.raises(ValueError, match=r"head_dropout: got 1; accepts a number 0 <= p < 1"):
        network(head_dropout=1)


@pytest.mark.parametrize("model", MODELS)
def test_one_image_alone_is_trained_on(model, noise):
    """Its features have no variance: running statistics norm them, and stay as they are."""
    trained = network(model, head_dropout=0.0).train()
    before = trained.head.norm.running_mean.clone()
    functional.cross_entropy(trained(noise(1, 1, 8, 8)), torch.tensor([3])).backward()
    assert all(p.grad.isfinite().all() for p in trained.parameters())
    assert torch.equal(trained.head.norm.running_mean, before)
    trained(noise(2, 1, 8, 8))
    assert not torch.equal(trained.head.norm.running_mean, before)


@pytest.mark.parametrize("model", MODELS)
def test_logits_are_a_linear_map_of_features(model, noise):
    trained, images = network(model), noise(2, 1, 8, 8)
    assert torch.equal(trained.head.classify(trained.features(images)), trained(images))
    assert trained.features(images).shape == (2, 16)


def test_attention_is_counted():
    """Two blocks of it cost what the whole network costs beyond its stages."""
    flops = [count_flops(build_model(name, group="C4"), (1, 28, 28)) for name in MODELS]
    tokens, width, heads_of_all = 4 * 7 * 7, 32, 32
    linear = 2 * tokens * width * (4 * 4 * heads_of_all + 2 * 2 * width)  # maps and feed-forward
    assert flops[0] - flops[1] > 2 * linear
