"""What is between attention layers keeps what its docstring says, on every size."""

from __future__ import annotations

import pytest
import torch

from gsa_core import (
    GroupSelfAttention,
    SymmetricMaxPool2d,
    assert_equivariant,
    point_group,
)


@pytest.mark.parametrize("side", range(1, 16))
def test_symmetric_pooling_keeps_what_it_says(side):
    """Pairs of an even side; of an odd one every second pixel, the outermost among them."""
    pool = SymmetricMaxPool2d()
    ramp = torch.arange(1.0, side + 1).expand(1, 1, 1, side, side)
    smallest = -pool(-ramp)[0, 0, 0, 0]
    largest = pool(ramp)[0, 0, 0, 0]
    assert len(largest) == -(-side // 2)
    if side % 2:
        centres = torch.arange(1, side + 1, 2)
        assert torch.equal(largest, (centres + 1).clamp(max=side).float())
        assert torch.equal(smallest, (centres - 1).clamp(min=1).float())
        assert ((side + 1) // 2 in centres) == (side % 4 == 1)
    else:
        assert torch.equal(largest - smallest, torch.ones(side // 2))


@pytest.mark.parametrize(
    ("name", "turns"),
    [("C1", 0), ("C2", 0), ("C3", 0), ("C5", 0), ("C6", 0), ("D2", 0), ("D3", 0), ("D6", 0),
     ("C4", 1), ("C8", 1), ("D4", 1), ("C12", 1)],
)  # fmt: skip
def test_attention_dropout_refuses_rectangles_of_groups_with_quarter_turns(name, turns):
    group = point_group(name)
    layer = GroupSelfAttention(group, 2, 4, 2, window=3, attention_dropout=0.5).double().train()
    x = torch.randn(1, 2, group.order, 3, 5, dtype=torch.float64)
    if turns:
        with pytest.raises(ValueError, match="image: got 3x5; attention_dropout"):
            layer(x)
        return

    def seeded(features):
        torch.manual_seed(0)
        return layer(features)

    assert_equivariant(seeded, x, group, group.exact_elements)
