"""Radial and rotary positions, window shapes, the published form: exact, and what they say."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import pytest
import torch
from cases import GROUPS, randomised, sized
from torch.nn import functional

from gsa_core import (
    GroupSelfAttention,
    LiftingSelfAttention,
    act_on_features,
    act_on_image,
    assert_equivariant,
    equivariance_error,
    point_group,
    shift_image,
)

KINDS = ("lifting", "joint", "framewise", "published")
HEADS, SIZE = 2, 5


def build(kind, group, positional="relative", **options):
    options = sized({"positional": positional, **options}, 8)
    if kind == "lifting":
        layer = LiftingSelfAttention(group, 3, 4, HEADS, **options)
    else:
        layer = GroupSelfAttention(group, 3, 4, HEADS, form=kind, **options)
    return randomised(layer)


def input_for(kind, group, noise, size=SIZE):
    return noise(1, 3, *(() if kind == "lifting" else (group.order,)), size, size)


def cases():
    """Every kind and encoding with every group, in a window and in the whole image in turn."""
    options = itertools.product(("C1", "C4", "D1", "D4"), KINDS, ("radial", "rotary"))
    for i, case in enumerate(options):
        yield *case, (None, 3)[(i + i // 2 + i // 8) % 2]


@pytest.mark.parametrize(("name", "kind", "positional", "window"), list(cases()))
def test_radial_and_rotary_are_equivariant(name, kind, positional, window, noise):
    group = point_group(name)
    layer = build(kind, group, positional, window=window)
    assert_equivariant(layer, input_for(kind, group, noise), group)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("options", [{}, {"encoding": "published", "head_dim": 7}, {"window": 3}])
@pytest.mark.parametrize("name", GROUPS)
def test_the_published_form_is_equivariant(name, options, noise):
    """Groups that do not commute too, where the published codes are not."""
    group = point_group(name)
    layer = build("published", group, **options)
    x = input_for("published", group, noise, 5 if group.order <= 8 else 3)
    assert_equivariant(layer, x, group)


def test_control_the_published_offset_of_gsa_nets_is_not_exact(noise):
    """``h (g^-1 h')`` in place of a left-invariant product, as its code acts on the offset."""
    group = point_group("C4")
    layer = build("published", group)
    layer.relative.relative = group.product[:, group.relative]
    x = input_for("published", group, noise)
    assert max(equivariance_error(layer, x, group, s) for s in range(4)) > 1e-3


def test_the_group_offset_of_cyclic_groups_is_that_of_ge_vit():
    group = point_group("C8")
    layer = build("published", group)
    h, g, k = torch.meshgrid(*3 * [torch.arange(8)], indexing="ij")
    assert torch.equal(layer.relative.relative, (2 * g - h - k) % 8)


@pytest.mark.parametrize("shape", ["square", "disc", "soft_disc"])
@pytest.mark.parametrize("positional", ["relative", "rotary"])
@pytest.mark.parametrize("name", ["D4", "C8"])
@pytest.mark.parametrize("size", [6, 7])
def test_windows_of_every_shape_are_exact_on_the_grid(name, positional, shape, size, noise):
    group = point_group(name)
    layer = build("framewise", group, positional, window=5, window_shape=shape)
    assert_equivariant(layer, input_for("framewise", group, noise, size), group)


def test_a_soft_disc_weighs_keys_as_it_says():
    """Values averaged with weights ``cos^2(pi r / window)``, from queries that are zero."""
    layer = build("lifting", point_group("C1"), "none", window=5, window_shape="soft_disc")
    offset = torch.arange(-4, 5).double()
    r = (offset[:, None] ** 2 + offset[None, :] ** 2).sqrt()
    weight = torch.where(r <= 2.5, (math.pi * r / 5).cos() ** 2, 0.0)
    layer.output = torch.nn.Identity()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.query_key_value.weight[-1, 0] = 1  # the last channel of values is that of the image
    image = torch.zeros(1, 3, 9, 9, dtype=torch.float64)
    image[:, 0, 4, 4] = 1
    attended = layer(image)[0, -1, 0]
    assert torch.allclose(attended[4, 4], weight[4, 4] / weight.sum())
    assert torch.allclose(attended[4, 5] / attended[4, 4], weight[4, 5])


@pytest.mark.parametrize("positional", ["radial", "rotary"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_equivariant_under_translations(kind, positional, noise):
    group = point_group("C4")
    layer = build(kind, group, positional, window=3)
    x = functional.pad(input_for(kind, group, noise), (3, 3, 3, 3))
    inner = (..., slice(3, 8), slice(3, 8))
    expected = shift_image(layer(x), 1, -2)[inner]
    error = (layer(shift_image(x, 1, -2))[inner] - expected).norm() / expected.norm()
    assert error < 1e-12


@pytest.mark.parametrize(("positional", "symmetric"), [("radial", True), ("rotary", False)])
def test_only_radial_has_symmetries_outside_its_group(positional, symmetric, noise):
    """Under C1, all quarter turns and mirrors: nothing but distances enters the scores."""
    layer = build("lifting", point_group("C1"), positional, window=3)
    x, square = noise(1, 3, 6, 6), point_group("D4")
    for element in range(1, 8):
        expected = act_on_image(square, element, layer(x))
        moved = layer(act_on_image(square, element, x))
        error = (moved - expected).norm() / expected.norm()
        assert error < 1e-12 if symmetric else error > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_rotary_is_what_its_formula_says(kind, noise):
    """Global attention written out for one query, keys turned by offsets h^-1 (y - x) alone."""
    group = point_group("D4")
    layer = build(kind, group, "rotary", head_dim=5)
    x, (row, col), h = input_for(kind, group, noise, 3), (0, 2), 3
    tokens = (x.unsqueeze(2) if kind == "lifting" else x).permute(0, 3, 4, 2, 1)
    query, key, value = (
        y.unflatten(-1, (HEADS, 5)) for y in layer.query_key_value(tokens)[0].chunk(3, -1)
    )
    query = query + layer.query_bias.unflatten(0, (HEADS, 5))
    grid = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    seen = (grid - torch.tensor([row, col])) @ group.matrices[group.inverse[h]].T
    angle = torch.einsum("ya,npa->ynp", seen, layer.rotary.frequencies).reshape(3, 3, 1, HEADS, 2)
    a, b, rest = key.split([2, 2, 1], -1)
    turned = torch.cat(
        [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos(), rest], -1
    )
    frames = {"lifting": [0], "framewise": [h]}.get(kind, list(range(8)))
    out = torch.zeros(HEADS, 5, dtype=torch.float64)
    for own in range(8) if kind == "published" else [0 if kind == "lifting" else h]:
        scores = torch.einsum("nd,yxhnd->nyxh", query[row, col, own], turned[:, :, frames])
        if layer.relative.frame_table is not None:
            index = layer.relative.relative.reshape(8, -1, 8)
            entries = layer.relative.frame_table[index[h, own if kind == "published" else 0]]
            entries = entries.unflatten(-1, (HEADS, 5))
            scores = (
                scores + torch.einsum("nd,hnd->nh", query[row, col, own], entries)[:, None, None]
            )
        weight = (scores / math.sqrt(5)).flatten(1).softmax(-1).reshape(scores.shape)
        out += torch.einsum("nyxh,yxhnd->nd", weight, value[:, :, frames])
    if kind == "framewise":  # its output map mixes the frames: compare before it
        layer.output = torch.nn.Identity()
    expected = layer.output(out.flatten())
    assert torch.allclose(layer(x)[0, :, h, row, col], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positional", ["radial", "rotary"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_equivariant(kind, positional, noise):
    group = point_group("D4")
    layer = build(kind, group, positional)
    x, cotangent = input_for(kind, group, noise), noise(1, 4, 8, SIZE, SIZE)
    act = act_on_image if kind == "lifting" else act_on_features

    def gradient(x, cotangent):
        x = x.clone().requires_grad_()
        return torch.autograd.grad((layer(x) * cotangent).sum(), x)[0]

    for element in range(1, 8):
        moved = gradient(act(group, element, x), act_on_features(group, element, cotangent))
        expected = act(group, element, gradient(x, cotangent))
        assert (moved - expected).norm() / expected.norm() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["C4", "D4", "C8"])
def test_attention_dropout_is_equivariant_in_training(name, kind, noise):
    group = point_group(name)
    layer = build(kind, group, attention_dropout=0.4).train()

    def forward(x):
        torch.manual_seed(3)
        return layer(x)

    x = input_for(kind, group, noise)
    assert_equivariant(forward, x, group)
    assert (forward(x) - layer.eval()(x)).norm() > 1e-3


def test_attention_dropout_keeps_the_mean(noise):
    group = point_group("C4")
    layer = build("joint", group, "none", attention_dropout=0.5)
    value = torch.ones(400, 4, 4, 1, 4, 2, 1)
    dropped = layer.dropout.train()(value)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("kind", KINDS)
def test_rotary_angles_stay_in_float32_under_autocast(kind, noise):
    group = point_group("C4")
    layer = build(kind, group, "rotary").float()
    x = input_for(kind, group, noise).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.rotary.angles(5, 5).dtype == torch.float32
        out = layer(x)
    assert torch.isfinite(out).all()
    assert (out - layer(x)).norm() / layer(x).norm() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_shape": "ring"}, "window_shape: got 'ring'"),
        ({"method": "slow"}, "method: got 'slow'"),
        ({"attention_dropout": 1.0}, "attention_dropout: got 1.0"),
        ({"positional": "rotary", "head_dim": 1}, "'rotary' with 1 channel"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GroupSelfAttention(point_group("C4"), 3, 4, 2, **{"image_size": 6, **options})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("encoding", ["auto", "published"])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_the_same_layer(kind, encoding, copied, noise):
    group = point_group("C4")
    layer = build(kind, group, encoding=encoding, window=3, head_dim=6)
    other, x = copied(layer), input_for(kind, group, noise)
    assert other.identity() == layer.identity()
    assert torch.equal(other(x), layer(x))
