"""Convolutions, norms, pooling and stem: exact on the grid, and what they are for C1."""

from __future__ import annotations

import pytest
import torch
from cases import GROUPS, randomised
from torch.nn import functional

from gsa_core import (
    Block,
    ChannelNorm,
    FeedForward,
    GlobalPool,
    GroupConv2d,
    GroupLinear,
    GroupPool,
    GroupSelfAttention,
    LiftingConv2d,
    Stem,
    SymmetricMaxPool2d,
    act_on_features,
    assert_equivariant,
    cyclic_group,
    equivariance_error,
    point_group,
)
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.nn.norm import BatchNorm


@pytest.mark.parametrize("size", [6, 7, (6, 9)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("name", GROUPS)
def test_convolutions_are_equivariant(name, kernel, size, noise):
    group = point_group(name)
    sides = (size, size) if isinstance(size, int) else size
    assert_equivariant(randomised(LiftingConv2d(group, 2, 3, kernel)), noise(2, 2, *sides), group)
    features = noise(2, 2, group.order, *sides)
    assert_equivariant(randomised(GroupConv2d(group, 2, 3, kernel)), features, group)


def test_control_the_other_side_of_the_weights_index_fails(noise):
    """With ``h h'^-1`` in place of ``h^-1 h'`` a non-abelian group is broken."""
    group = point_group("D4")
    layer = randomised(GroupConv2d(group, 2, 3, 3))
    layer.relative = group.product[:, group.inverse]
    errors = [equivariance_error(layer, noise(1, 2, 8, 6, 6), group, s) for s in range(8)]
    assert max(errors) > 1e-2


def test_control_a_plain_convolution_is_not_equivariant(noise):
    group = cyclic_group(4)
    layer = torch.nn.Conv2d(2, 3, 3, padding=1).double()
    assert equivariance_error(layer, noise(1, 2, 6, 6), group, 1) > 0.1


def test_the_trivial_group_is_plain_convolution(noise):
    group, x = cyclic_group(1), noise(2, 3, 6, 6)
    lifting, conv = (randomised(kind(group, 3, 4, 3)) for kind in (LiftingConv2d, GroupConv2d))
    plain = functional.conv2d(x, lifting.weight, lifting.bias, padding=1)
    assert torch.allclose(lifting(x).squeeze(2), plain, rtol=0, atol=1e-12)
    plain = functional.conv2d(x, conv.weight[0], conv.bias, padding=1)
    assert torch.allclose(conv(x.unsqueeze(2)).squeeze(2), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["C1", "C4", "D4", "C8"])
def test_group_linear_is_a_group_convolution_with_one_pixel(name, noise):
    group = point_group(name)
    linear, conv = randomised(GroupLinear(group, 3, 5)), randomised(GroupConv2d(group, 3, 5, 1))
    with torch.no_grad():
        conv.weight.copy_(linear.weight[..., None, None])
        conv.bias.copy_(linear.bias)
    x = noise(2, 3, group.order, 4, 4)
    assert torch.allclose(to_features(linear(to_tokens(x))), conv(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (6, 7)])
@pytest.mark.parametrize(
    "layer",
    [ChannelNorm(3), BatchNorm(3), FeedForward(3), SymmetricMaxPool2d()],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("name", ["C4", "D4", "D8"])
def test_layers_between_are_equivariant(name, layer, size, noise):
    group = point_group(name)
    assert_equivariant(randomised(layer), noise(2, 3, group.order, *size), group)


@pytest.mark.parametrize("name", ["C4", "D4"])
@pytest.mark.parametrize("size", [6, 7])
def test_batch_norm_and_dropout_are_equivariant_in_training_too(name, size, noise):
    group = point_group(name)
    attention = GroupSelfAttention(group, 4, 4, 2, image_size=size)
    block = randomised(Block(attention, 4, dropout=0.5)).train()
    norm = randomised(BatchNorm(4)).train()

    def in_training(x):
        torch.manual_seed(0)  # the same channels are dropped
        return norm(block(x))

    x = noise(2, 4, group.order, size, size)
    assert_equivariant(in_training, x, group)
    assert not torch.equal(in_training(x), norm(block.eval()(x)))


@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_pooling_ends_in_invariance(name, reduction, noise):
    group = point_group(name)
    pool, x = GroupPool(reduction), noise(2, 3, group.order, 5, 5)
    for element in range(group.order):
        assert_equivariant(pool, x, group, [element])
        moved = GlobalPool()(pool(act_on_features(group, element, x)))
        assert torch.allclose(moved, GlobalPool()(pool(x)), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="accepts 'mean', 'max'"):
        GroupPool("sum")


@pytest.mark.parametrize(("size", "half"), [(6, 3), (7, 4), (2, 1), (1, 1)])
def test_symmetric_pooling_halves_about_the_centre(size, half, noise):
    x = noise(1, 1, 1, size, size)
    pooled = SymmetricMaxPool2d()(x)
    assert pooled.shape[-2:] == (half, half)
    if size % 2:  # the centre stays the centre
        around = x[0, 0, 0, max(0, size // 2 - 1) : size // 2 + 2]
        around = around[:, max(0, size // 2 - 1) : size // 2 + 2]
        if (size // 2) % 2 == 0:
            assert pooled[0, 0, 0, half // 2, half // 2] == around.max()


def test_control_one_sided_pooling_breaks_odd_sizes(noise):
    group, x = cyclic_group(4), noise(1, 2, 4, 7, 7)

    def one_sided(features):
        return functional.max_pool2d(features.flatten(1, 2), 2).unflatten(1, (2, 4))

    assert equivariance_error(one_sided, x, group, 1) > 0.1


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("patch_size", [2, 4])
@pytest.mark.parametrize("name", GROUPS)
def test_stem_is_equivariant_and_sizes_are_as_stated(name, patch_size, size, noise):
    group = point_group(name)
    stem = randomised(Stem(group, 1, 3, patch_size))
    assert_equivariant(stem, noise(2, 1, size, size), group)
    grid = stem(noise(1, 1, size, size)).shape[-2:]
    assert grid == stem.token_grid((size, size)) == 2 * (-(-size // patch_size),)


@pytest.mark.parametrize("patch_size", [0, 1, 3, 6, -2])
def test_stems_halve_the_grid_whole_times(patch_size):
    accepted = " for a stem; accepts 2, 4" if patch_size > 0 else "; accepts an integer >= 1"
    with pytest.raises(ValueError, match=f"patch_size: got {patch_size}{accepted}"):
        Stem(cyclic_group(4), 1, 1, patch_size)


def test_kernels_between_the_axes_are_approximate(noise):
    """At 45 degrees a kernel is interpolated: C8's turns between its exact ones are not exact."""
    layer = randomised(LiftingConv2d(cyclic_group(8), 1, 1, 3))
    assert layer.sampling[2].unique().tolist() == [0, 1]  # a permutation of the pixels
    assert not set(layer.sampling[1].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_even_kernels_are_refused(kernel):
    with pytest.raises(ValueError, match="accepts odd numbers of pixels"):
        LiftingConv2d(cyclic_group(4), 1, 1, kernel)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("layer", [LiftingConv2d, GroupConv2d])
def test_responses_are_in_token_order_whatever_the_channels(layer, channels, noise):
    """Token order is what keeps pooling and all layers after it from copying."""
    group = cyclic_group(4)
    shape = (2, channels, 4, 8, 8) if layer is GroupConv2d else (2, channels, 8, 8)
    tokens = to_tokens(layer(group, channels, 6, 3)(noise(*shape).float()))
    assert tokens.is_contiguous()
