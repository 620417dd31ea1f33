"""Attention with the trivial group is plain attention."""

from __future__ import annotations

import pytest
import torch
from cases import randomised
from torch.nn import functional

from gsa_core import (
    GroupSelfAttention,
    LiftingSelfAttention,
    cyclic_group,
)


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise"])
def test_the_trivial_group_is_plain_attention(kind, heads, noise):
    """Written independently, from the layer's own weights."""
    group, size, channels = cyclic_group(1), 5, 6
    options = {"positional": "absolute", "image_size": size}
    if kind == "lifting":
        layer = randomised(LiftingSelfAttention(group, 3, channels, heads, **options))
        x = noise(2, 3, size, size)
        tokens = x
    else:
        layer = randomised(GroupSelfAttention(group, 3, channels, heads, form=kind, **options))
        x = noise(2, 3, 1, size, size)
        tokens = x.squeeze(2)
    tokens = (tokens + layer.absolute.table).flatten(2).transpose(1, 2)
    weight = layer.query_key_value.weight.reshape(3 * channels, 3)
    query, key, value = functional.linear(tokens, weight).chunk(3, -1)
    query, key, value = (
        y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (query + layer.query_bias, key, value)
    )
    attended = functional.scaled_dot_product_attention(query, key, value)
    output = functional.linear(
        attended.transpose(1, 2).flatten(2),
        layer.output.weight.reshape(channels, channels),
        layer.output.bias,
    )
    expected = output.transpose(1, 2).reshape(2, channels, 1, size, size)
    assert torch.allclose(layer(x), expected, rtol=0, atol=1e-12)
