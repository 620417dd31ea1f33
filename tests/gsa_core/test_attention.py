"""Attention layers: exact under every element, equal to plain attention where they must be."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from cases import EXACT_GROUPS, GROUPS, PARTLY_EXACT_GROUPS, randomised, sized
from torch.nn import functional

from gsa_core import (
    GroupSelfAttention,
    LiftingSelfAttention,
    act_on_features,
    act_on_image,
    assert_equivariant,
    cyclic_group,
    equivariance_error,
    point_group,
    shift_image,
)


def build(kind, group, positional, window=None, size=6, encoding="auto", channels=(3, 4)):
    """A randomised layer: kind is "lifting" or the form of group attention."""
    options = {"positional": positional, "window": window, "encoding": encoding}
    options = sized(options, size)
    if kind == "lifting":
        layer = LiftingSelfAttention(group, *channels, 2, **options)
    else:
        layer = GroupSelfAttention(group, *channels, 2, form=kind, **options)
    return randomised(layer)


def input_for(kind, group, noise, size=6, batch=2, channels=3):
    frames = () if kind == "lifting" else (group.order,)
    sides = (size, size) if isinstance(size, int) else size
    return noise(batch, channels, *frames, *sides)


KINDS, POSITIONAL = ("lifting", "joint", "framewise"), ("none", "absolute", "relative")


def cases(groups):
    """Every kind with every encoding and group, in windows and not, odd and even in turn."""
    for i, case in enumerate(itertools.product(groups, KINDS, POSITIONAL)):
        yield *case, None, 5 + i % 2
        yield *case, 3, 6 - i % 2


@pytest.mark.parametrize(
    ("name", "kind", "positional", "window", "size"), list(cases(EXACT_GROUPS))
)
def test_equivariant(name, kind, positional, window, size, noise):
    group = point_group(name)
    layer = build(kind, group, positional, window, size)
    assert_equivariant(layer, input_for(kind, group, noise, size), group)


@pytest.mark.parametrize(
    ("name", "kind", "positional", "window", "size"), list(cases(PARTLY_EXACT_GROUPS))[::3]
)
def test_quarter_turns_and_mirrors_of_finer_groups_are_exact(
    name, kind, positional, window, size, noise
):
    group = point_group(name)
    layer = build(kind, group, positional, window, size)
    assert len(group.exact_elements) == 4 * (1 + group.mirrors)
    assert_equivariant(layer, input_for(kind, group, noise, size, batch=1), group)


@pytest.mark.parametrize("encoding", ["table", "continuous"])
@pytest.mark.parametrize("positional", ["absolute", "relative"])
def test_both_kinds_of_encoding_are_exact(positional, encoding, noise):
    group = point_group("D4")
    layer = build("joint", group, positional, size=6, encoding=encoding)
    assert_equivariant(layer, input_for("joint", group, noise), group)


@pytest.mark.parametrize("name", ["C1", "C2", "D1", "D2"])
@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_images_need_not_be_square(name, kind, noise):
    group = point_group(name)
    layer = build(kind, group, "absolute", size=(4, 7))
    assert_equivariant(layer, input_for(kind, group, noise, (4, 7)), group)


def test_relative_attention_takes_images_that_are_not_square(noise):
    group = point_group("C4")
    layer = build("joint", group, "relative", window=3)
    assert_equivariant(layer, noise(1, 3, 4, 4, 7), group)


@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_gradients_are_equivariant(kind, noise):
    """The gradient of an equivariant layer is equivariant: both are moved alike."""
    group = point_group("D4")
    layer = build(kind, group, "relative")
    x, cotangent = input_for(kind, group, noise), noise(2, 4, 8, 6, 6)
    act = act_on_image if kind == "lifting" else act_on_features

    def gradient(x, cotangent):
        x = x.clone().requires_grad_()
        return torch.autograd.grad((layer(x) * cotangent).sum(), x)[0]

    for element in range(group.order):
        moved = gradient(act(group, element, x), act_on_features(group, element, cotangent))
        expected = act(group, element, gradient(x, cotangent))
        assert (moved - expected).norm() / expected.norm() < 1e-12


@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_float32_is_exact_to_its_own_rounding(kind, noise):
    group = point_group("D4")
    layer = build(kind, group, "relative").float()
    assert_equivariant(layer, input_for(kind, group, noise).float(), group, tolerance=1e-5)


@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_control_an_element_outside_the_group_moves_the_output(kind, noise):
    """The mirror does not belong to C4; conjugation by it sends frame h to h^-1."""
    group = point_group("C4")
    layer = build(kind, group, "relative")
    x = input_for(kind, group, noise)

    def mirror(tensor):
        tensor = tensor.flip(-1)
        return tensor[:, :, group.inverse] if tensor.ndim == 5 else tensor

    expected = mirror(layer(x))
    assert (layer(mirror(x)) - expected).norm() / expected.norm() > 0.01


@pytest.mark.parametrize("form", ["joint", "framewise"])
def test_control_frames_must_move_with_space(form, noise):
    """Turning space alone, without permuting the frames, is another action."""
    group = point_group("C4")
    layer = build(form, group, "relative")
    x = input_for(form, group, noise)
    expected = torch.rot90(layer(x), 1, (-2, -1))
    assert (layer(torch.rot90(x, 1, (-2, -1))) - expected).norm() / expected.norm() > 0.01


def test_control_a_wrong_group_offset_is_caught(noise):
    """The error of the published code: ``h' h^-1`` for ``h^-1 h'`` in a group not abelian."""
    group = point_group("D4")
    layer = build("joint", group, "relative")
    layer.relative.relative = group.product[:, group.inverse].T
    errors = [
        equivariance_error(layer, input_for("joint", group, noise), group, element)
        for element in range(8)
    ]
    assert max(errors) > 1e-3


@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_control_absolute_positions_see_translations(kind, noise):
    group = point_group("C4")
    x = input_for(kind, group, noise, 6)
    x = functional.pad(x, (3, 3, 3, 3))
    moved = shift_image(x, 1, -2)
    inner = (..., slice(3, 9), slice(3, 9))
    for positional, symmetric in (("relative", True), ("absolute", False)):
        layer = build(kind, group, positional, window=3, size=12)
        expected = shift_image(layer(x), 1, -2)[inner]
        error = (layer(moved)[inner] - expected).norm() / expected.norm()
        assert (error < 1e-12) == symmetric


@pytest.mark.sampled(3)
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize(("name", "tolerance"), [("D4", 1e-12), ("C8", 1e-5)])
@pytest.mark.parametrize("form", ["joint", "framewise"])
def test_group_attention_is_what_its_formula_says(form, name, tolerance, window, noise):
    """Every score written out, pair by pair, with the offsets turned back by the matrices.

    Positions off the pixel axes are held in float32, hence the tolerance of C8.
    """
    group, size, channels, heads = point_group(name), 3, 4, 2
    layer = build(form, group, "relative", window, size, channels=(3, channels))
    x = noise(1, 3, group.order, size, size)
    maps = layer.query_key_value(x.permute(0, 3, 4, 2, 1))[0]  # (row, col, frame, 3 inner)
    query, key, value = maps.chunk(3, -1)
    query = query + layer.query_bias
    out = torch.zeros(size, size, group.order, channels, dtype=torch.float64)
    encoded = functools.cache(functools.partial(_p, layer))
    positions = [(r, c) for r in range(size) for c in range(size)]
    for h in range(group.order):
        for px in positions:
            keys = [
                (py, k)
                for py in positions
                for k in (range(group.order) if form == "joint" else [h])
                if window is None or _seen(group, py, px, window)
            ]
            for head in range(heads):
                part = slice(head * 2, head * 2 + 2)
                q = query[px][h, part]
                scores = torch.stack(
                    [
                        q @ (key[py][k, part] + encoded(py[0] - px[0], py[1] - px[1], h, k)[head])
                        for py, k in keys
                    ]
                )
                values = torch.stack([value[py][k, part] for py, k in keys])
                out[px][h, part] = (scores / math.sqrt(2)).softmax(0) @ values
    expected = layer.output(out).permute(3, 2, 0, 1)[None]
    assert torch.allclose(layer(x), expected, rtol=0, atol=tolerance)


def _seen(group, py, px, window):
    rows, cols = abs(py[0] - px[0]), abs(py[1] - px[1])
    if group.keeps_axes:
        return max(rows, cols) <= window // 2
    return math.hypot(rows, cols) <= window / 2


def _p(layer, down, right, h, k):
    """The encoding ``p(h^-1 (y - x), h^-1 h')`` of every head."""
    group, encoding = layer.group, layer.relative
    offset = torch.tensor([down, right], dtype=torch.float64)
    seen = group.matrices[group.inverse[h]] @ offset
    if hasattr(encoding, "table"):
        entries = encoding.table.reshape(2, -1, 2, 2)
        row, col = (seen + encoding.reach).round().long()
        value = entries[0, row] + entries[1, col]
    else:
        value = encoding.function(seen).reshape(2, 2)
    if encoding.frame_table is not None:
        relative = group.product[group.inverse[h], k]
        value = value + encoding.frame_table.reshape(-1, 2, 2)[relative]
    return value


@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_a_window_as_large_as_the_image_is_global(kind, noise):
    group = point_group("D4")
    local = build(kind, group, "none", window=11)
    whole = build(kind, group, "none", window=None)
    x = input_for(kind, group, noise)
    assert torch.equal(local(x), whole(x))


@pytest.mark.parametrize("name", GROUPS)
def test_none_in_lifting_attention_sees_no_frames(name, noise):
    layer = build("lifting", point_group(name), "none")
    out = layer(noise(1, 3, 6, 6))
    assert torch.allclose(out, out[:, :, :1].expand_as(out))


def test_a_batch_is_its_images_one_by_one(noise):
    group = point_group("C4")
    layer = build("framewise", group, "relative", window=3)
    x = noise(3, 3, 4, 6, 6)
    one_by_one = torch.cat([layer(image) for image in x.split(1)])
    assert torch.allclose(layer(x), one_by_one, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positional": "relativ"}, "positional: got 'relativ'"),
        ({"form": "both"}, "form: got 'both'"),
        ({"window": 4}, "window: got 4; accepts odd"),
        ({"encoding": "learned"}, "encoding: got 'learned'"),
        ({"positional": "absolute", "image_size": None}, "image_size: got None"),
        ({"encoding": "table", "image_size": None}, "without window or image_size"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupSelfAttention(cyclic_group(4), 3, 4, 2, **sized(arguments, 6))


@pytest.mark.parametrize("positional", ["absolute", "relative"])
def test_a_table_with_a_group_off_the_axes_is_refused(positional):
    with pytest.raises(ValueError, match="'table' with C8"):
        LiftingSelfAttention(
            cyclic_group(8), 1, 4, 2, positional=positional, image_size=6, encoding="table"
        )


def test_wrong_inputs_are_named(noise):
    group = cyclic_group(4)
    with pytest.raises(ValueError, match=r"features: got \(1, 3, 2, 6, 6\); accepts \(batch, 3, 4"):
        build("joint", group, "none")(noise(1, 3, 2, 6, 6))
    with pytest.raises(ValueError, match=r"got a side of 8 tokens; .* accepts up to 6 "):
        build("joint", group, "relative")(noise(1, 3, 4, 8, 8))
    with pytest.raises(ValueError, match="got 8x8; this absolute encoding accepts 6x6"):
        build("joint", group, "absolute")(noise(1, 3, 4, 8, 8))
