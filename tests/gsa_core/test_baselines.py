"""Patch tokens, baselines and the published networks: symmetric where they promise it."""

from __future__ import annotations

import pytest
import torch
from cases import EXACT_GROUPS, GROUPS, PARTLY_EXACT_GROUPS, randomised

from gsa_core import (
    PatchEmbedding,
    Symmetrized,
    act_on_image,
    assert_equivariant,
    build_model,
    count_parameters,
    equivariance_error,
    invariance_error,
    layer_errors,
    point_group,
)

SMALL = {"channels": 6, "image_size": 12}


def network(model, **arguments):
    return randomised(build_model(model, **{**SMALL, **arguments}))


@pytest.mark.parametrize(("size", "patch"), [(8, 4), (9, 3), (10, 5), (7, 7)])
@pytest.mark.parametrize("name", GROUPS)
def test_patches_are_equivariant(name, size, patch, noise):
    """Odd and even patches, odd and even numbers of them."""
    group = point_group(name)
    layer = randomised(PatchEmbedding(group, 2, 3, patch))
    x = noise(2, 2, size, size)
    assert layer(x).shape[3:] == layer.token_grid((size, size))
    assert_equivariant(layer, x, group)


def test_patches_pad_symmetrically(noise):
    group = point_group("D4")
    layer = randomised(PatchEmbedding(group, 1, 3, 3))
    x = noise(1, 1, 10, 10)  # one row of zeros on either side
    assert layer(x).shape == (1, 3, 8, 4, 4)
    assert_equivariant(layer, x, group)


def test_control_flat_patches_are_not_equivariant(noise):
    """The same kernel in every frame, as where patches are flattened without being turned."""
    group = point_group("C4")
    layer = randomised(PatchEmbedding(group, 1, 3, 4))
    layer.sampling[:] = layer.sampling[0]
    assert max(equivariance_error(layer, noise(1, 1, 8, 8), group, s) for s in (1, 2)) > 0.3


NETWORKS = (
    ("gsa", {"tokens": "patch"}),
    ("gsa", {"tokens": "patch", "positional": "absolute", "form": "joint"}),
    ("gsa", {"tokens": "stem", "positional": "rotary"}),
    ("gsa", {"tokens": "patch", "form": "published", "positional": "radial"}),
    ("hybrid", {}),
    ("gcnn", {"image_size": 11}),
    ("staged", {"image_size": 8}),
    ("staged", {"image_size": 9, "positional": "absolute", "form": "joint"}),
    ("staged", {"image_size": 11, "positional": "rotary", "num_heads": 3}),
    ("staged_gcnn", {"image_size": 11}),
    ("staged_gcnn", {"image_size": 14}),
)


def with_groups():
    """Every network with D4, with a group off the pixel axes and with a smaller one, in turn."""
    smaller = [name for name in EXACT_GROUPS if name != "D4"]
    for i, (model, options) in enumerate(NETWORKS):
        for name in ("D4", PARTLY_EXACT_GROUPS[i % 2], smaller[i % len(smaller)]):
            yield name, model, options


@pytest.mark.sampled(13)
@pytest.mark.parametrize(("name", "model", "options"), list(with_groups()))
def test_logits_are_invariant(name, model, options, noise):
    group = point_group(name)
    model = network(model, group=name, **options)
    size = options.get("image_size", 12)
    images = noise(1, 1, size, size)
    assert_equivariant(model, images, group)
    errors = layer_errors(model.layers(), images, group, group.exact_elements)
    assert max(errors.values()) <= 1e-12


@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("of", ["logits", "features"])
@pytest.mark.parametrize("name", EXACT_GROUPS)
def test_symmetrized_networks_are_invariant(name, of, reduction, noise):
    group, images = point_group(name), noise(2, 1, 12, 12)
    plain = network("vit")
    assert_equivariant(Symmetrized(plain, group, reduction=reduction, of=of), images, group)


def test_control_the_network_inside_is_not(noise):
    images = noise(4, 1, 12, 12)
    plain = network("vit")
    moved = act_on_image(point_group("C4"), 1, images)
    assert invariance_error(plain(images), plain(moved)) > 0.1


def test_symmetrized_under_the_trivial_group_is_the_network(noise):
    plain, images = network("vit"), noise(2, 1, 12, 12)
    for of in ("logits", "features"):
        assert torch.allclose(Symmetrized(plain, point_group("C1"), of=of)(images), plain(images))


def test_a_symmetrized_network_is_built_by_name(noise):
    model = network("symmetrized", group="D4", reduction="max")
    assert_equivariant(model, noise(3, 1, 12, 12), point_group("D4"))
    assert count_parameters(model) == count_parameters(build_model("vit", **SMALL))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Symmetrized(build_model("vit"), point_group("C8")), "group: got C8"),
        (lambda: Symmetrized(build_model("vit"), point_group("C4"), of="x"), "of: got 'x'"),
        (lambda: build_model("symmetrized", reduction="sum"), "reduction: got 'sum'"),
        (lambda: build_model("vit", group="C4"), "group: got 'C4' with model 'vit'"),
        (lambda: build_model(tokens="patch", image_size=11), "got 4 for an image of 11x11"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("model", "group", "channels", "size", "classes", "published"),
    [
        ("published_rotmnist", "C4", 1, 28, 10, 44_428),
        ("published_rotmnist", "C12", 1, 28, 10, 44_588),
        ("published_cifar10", "D1", 3, 32, 10, 3_001_808),
        ("published_pcam", "C8", 3, 96, 2, 207_178),
    ],
)
def test_published_networks_have_the_published_size(
    model, group, channels, size, classes, published
):
    network = build_model(
        model,
        group=group,
        in_channels=channels,
        image_size=size,
        num_classes=classes,
        window=5,
    )
    assert count_parameters(network) == published


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("name", "size", "blocks"), [("C4", 24, 7), ("D4", 10, 4), ("D2", 9, 4)])
def test_published_networks_are_invariant_layer_by_layer(name, size, blocks, noise):
    group = point_group(name)
    model = randomised(build_model("published_rotmnist", group=name, image_size=24, window=3))
    model.blocks = model.blocks[:blocks]  # lifting, two layers, a pooling, three layers
    images = noise(1, 1, size, size)
    elements = [1, group.order - 1]
    errors = layer_errors(model.layers(), images, group, elements)
    assert max(errors.values()) <= 1e-12
    assert_equivariant(model, images, group, elements)


def test_an_image_too_small_for_the_crops_is_refused():
    with pytest.raises(ValueError, match="image_size: got 12x12, of which the crops"):
        build_model("published_rotmnist", image_size=12)
