"""The published form against an independent computation, that of the benchmark."""

from __future__ import annotations

import sys

import pytest
import torch
from cases import randomised, sized

from gsa_core import GroupSelfAttention, point_group


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", ["C4", "D2", "D4"])
def test_the_published_form_is_the_published_computation(name, window, noise, root, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(root / "benchmarks"), *sys.path])
    from published_way import published_way

    group = point_group(name)
    options = sized({"encoding": "published", "head_dim": 7, "window": window}, 5)
    layer = randomised(GroupSelfAttention(group, 3, 4, 2, form="published", **options))
    x = noise(2, 3, group.order, 5, 5).requires_grad_()
    ours, theirs = layer(x), published_way(layer, x)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-11)
    gradients = [torch.autograd.grad(out.square().sum(), x)[0] for out in (ours, theirs)]
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-9)
