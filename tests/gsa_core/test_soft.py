"""Soft equivariance: exact at 0, a plain layer at 1, and more error all the way between."""

from __future__ import annotations

import itertools

import pytest
import torch
from cases import randomised
from torch.nn import functional

from gsa_core import (
    GroupConv2d,
    GroupLinear,
    LiftingConv2d,
    PatchEmbedding,
    act_on_features,
    act_on_image,
    assert_equivariant,
    build_model,
    count_parameters,
    equivariance_error,
    invariance_error,
    load,
    point_group,
    soften,
)
from gsa_core.nn.soft import TiedLayer

LAYERS = {
    "lifting": (lambda group: LiftingConv2d(group, 2, 3, 3), (2, 2, 8, 8)),
    "patch": (lambda group: PatchEmbedding(group, 2, 3, 4), (2, 2, 8, 8)),
    "group": (lambda group: GroupConv2d(group, 2, 3, 3), (2, 2, None, 7, 7)),
    "without bias": (lambda group: GroupConv2d(group, 2, 3, 3, bias=False), (2, 2, None, 6, 6)),
    "gaussian": (lambda group: GroupConv2d(group, 2, 3, 5, basis="gaussian"), (2, 2, None, 6, 6)),
}
SOFTNESS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)


def soft(make, group, softness):
    """A layer whose free weights are random, and nothing like its tied ones."""
    layer = make(group)
    soften(layer, softness)
    return randomised(layer)


def sized(shape, group, noise):
    return noise(*(group.order if n is None else n for n in shape))


def largest_error(layer, x, group):
    return max(equivariance_error(layer, x, group, s) for s in group.exact_elements[1:])


@pytest.mark.parametrize("group", [point_group(name) for name in ("C4", "D1", "D4")], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_the_error_grows_from_exact_to_free(kind, group, noise):
    make, shape = LAYERS[kind]
    x = sized(shape, group, noise)
    errors = [largest_error(soft(make, group, a), x, group) for a in SOFTNESS]
    assert errors[0] <= 1e-12
    assert all(low < high for low, high in itertools.pairwise(errors))
    assert errors[-1] > 0.3


@pytest.mark.parametrize("kind", LAYERS)
def test_at_0_it_is_the_layer_that_it_was(kind, noise):
    make, shape = LAYERS[kind]
    group = point_group("D4")
    layer, x = randomised(make(group)), sized(shape, group, noise)
    before = layer(x)
    soften(layer, 0)
    assert torch.equal(layer(x), before)
    soften(layer, 0.7)  # and at any softness, until it is trained: free weights start as the tied
    assert torch.allclose(layer(x), before, rtol=1e-12, atol=1e-12)


def test_at_1_it_is_a_plain_convolution_or_linear_map(noise):
    group = point_group("C4")
    convolution = soft(lambda g: GroupConv2d(g, 2, 3, 3), group, 1)
    x = noise(2, 2, 4, 6, 6)
    plain = functional.conv2d(  # channels of images are (frame, channel)
        x.transpose(1, 2).flatten(1, 2), convolution.free.weight, convolution.free.bias, padding=1
    )
    assert torch.allclose(convolution(x), plain.unflatten(1, (4, 3)).transpose(1, 2), rtol=1e-12)
    linear = soft(lambda g: GroupLinear(g, 2, 3), group, 1)
    tokens = noise(5, 4, 2)
    plain = functional.linear(tokens.flatten(1), linear.free.weight, linear.free.bias)
    assert torch.equal(linear(tokens), plain.unflatten(1, (4, 3)))
    before = linear(tokens)
    torch.nn.init.zeros_(linear.weight)  # the tied weights have no part in it
    assert torch.equal(linear(tokens), before)


def test_the_linear_map_alone(noise):
    """On tokens ``(..., |H|, channels)``, which a group element permutes."""
    group, tokens = point_group("D4"), noise(6, 8, 3)
    errors = []
    for softness in SOFTNESS:
        layer = soft(lambda g: GroupLinear(g, 3, 3), group, softness)
        x = tokens[:, :, :, None, None].transpose(1, 2)  # as feature maps of one pixel

        def applied(x, layer=layer):
            return layer(x[..., 0, 0].transpose(1, 2)).transpose(1, 2)[..., None, None]

        errors.append(equivariance_error(applied, x, group, 3, act_on_features))
    assert errors[0] <= 1e-12
    assert errors == sorted(errors)
    assert errors[-1] > 0.3


@pytest.mark.parametrize(
    ("model", "options"),
    [("gsa", {}), ("hybrid", {}), ("gcnn", {}), ("staged", {"num_heads": 2}), ("staged_gcnn", {})],
)
def test_networks_are_softened_by_one_argument(model, options, noise):
    group, images = point_group("C4"), noise(8, 1, 8, 8)

    def error(softness):
        built = build_model(model, image_size=8, channels=4, softness=softness, **options)
        network = randomised(built)
        moved = act_on_image(group, 1, images)
        return invariance_error(network(images), network(moved))

    errors = [error(a) for a in (0.0, 0.003, 0.03)]
    assert errors[0] <= 1e-12
    assert errors[0] < errors[1] < errors[2]


def test_a_network_begins_equivariant(noise):
    torch.manual_seed(0)
    network = build_model("gsa", image_size=8, channels=4, softness=0.5).double().eval()
    assert_equivariant(network, noise(3, 1, 8, 8), point_group("C4"))
    tied = build_model("gsa", image_size=8, channels=4)
    assert count_parameters(network) > count_parameters(tied)
    assert "softness" not in tied.config
    assert network.config["softness"] == 0.5


def test_softness_is_saved_and_loaded(tmp_path, noise):
    network = randomised(build_model("gsa", image_size=8, channels=4, softness=0.3)).float()
    network.save(tmp_path / "soft.safetensors")
    images = noise(2, 1, 8, 8).float()
    assert torch.equal(load(tmp_path / "soft.safetensors")(images), network(images))


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_softness_can_be_learned_layer_by_layer(start, noise):
    """Pulled towards labels that no tied layer can give; kept within 0 and 1."""
    group, x = point_group("C4"), noise(8, 5, 4, 3)
    layer = GroupLinear(group, 3, 3).double()
    soften(layer, start, learned=True)
    torch.nn.init.normal_(layer.free.weight)
    target = noise(8, 5, 4, 3)
    functional.mse_loss(layer(x), target).backward()
    assert layer.free.softness.grad != 0
    with torch.no_grad():
        layer.free.softness.fill_(7.0)
    beyond = layer(x)
    with torch.no_grad():
        layer.free.softness.fill_(1.0)
    assert torch.equal(layer(x), beyond)


def test_parts_of_a_network_have_their_own_softness():
    network = build_model("gsa", image_size=8, channels=4)
    soften(network.tokens, 0.5)
    soften(network.blocks[0], 0.1)
    found = {
        place: float(layer.free.softness)
        for place, layer in network.named_modules()
        if isinstance(layer, TiedLayer) and layer.free is not None
    }
    assert {softness for place, softness in found.items() if place.startswith("tokens")} == {0.5}
    assert {round(a, 6) for place, a in found.items() if place.startswith("blocks.0")} == {0.1}
    assert not any(place.startswith("blocks.1") for place in found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soften(GroupLinear(point_group("C4"), 1, 1), 1.5), "softness: got 1.5; accepts"),
        (lambda: soften(GroupLinear(point_group("C1"), 1, 1), 0.5), "that ties no weights"),
        (lambda: build_model("gsa", group="C1", softness=0.5), "that ties no weights"),
        (lambda: build_model("vit", softness=0.5), "with model 'vit', which does not use it"),
        (lambda: build_model("gsa", softness=-1), "softness: got -1; accepts"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
