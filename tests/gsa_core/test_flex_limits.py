"""FlexAttention: what it refuses, and the widths that it takes."""

from __future__ import annotations

import pytest
import torch

from gsa_core.attention.backends import flex


@pytest.mark.parametrize(
    ("device", "dtype", "said"),
    [
        ("cuda", torch.float64, "numbers of 32 and 16 bits, not torch.float64"),
        ("cuda", torch.float32, ""),
        ("cuda", torch.bfloat16, ""),
        ("cpu", torch.float64, ""),
        ("meta", torch.float32, ""),
    ],
)
def test_what_it_cannot_take_is_a_sentence(device, dtype, said, monkeypatch):
    monkeypatch.setattr(flex.importlib.util, "find_spec", lambda name: name)
    found = flex.problem(device, dtype, 16)
    assert said in found
    assert bool(found) == bool(said)


def test_missing_compiler_is_a_sentence(monkeypatch):
    monkeypatch.setattr(flex.importlib.util, "find_spec", lambda name: None)
    assert flex.problem("cuda", torch.float32, 16) == (
        "on a GPU it needs triton, which is not installed"
    )


def test_transforms_are_refused_on_a_gpu():
    found = []
    torch.func.vmap(lambda x: found.append(flex.problem("cuda", torch.float32, 16)) or x)(
        torch.zeros(2)
    )
    assert found[0].startswith("it has no rule for derivatives of gradients")


def test_gradient_of_a_gradient_is_refused():
    x = torch.ones(3, requires_grad=True)
    flex._Once.apply(2 * x).sum().backward()
    assert torch.equal(x.grad, 2 * torch.ones(3))
    with pytest.raises(NotImplementedError, match="method: got 'flex'; it has no rule"):
        torch.autograd.grad(flex._Once.apply(2 * x).sum(), x, create_graph=True)


@pytest.mark.parametrize(
    ("channels", "padded"), [(1, 16), (10, 16), (16, 16), (17, 32), (33, 64), (64, 64), (86, 128)]
)
def test_width_is_a_power_of_two_of_16_at_least(channels, padded):
    assert flex.padded_width(channels) == padded
