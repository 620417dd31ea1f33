"""Derivatives of the operators of the kernel: their rules, or an error."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from gsa_core.attention.backends import reference
from gsa_core.attention.backends.cpu import problem as kernel_problem
from gsa_core.attention.backends.operators import fused_attention
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

needs_kernel = pytest.mark.skipif(
    bool(kernel_problem("cpu", torch.float64, 2)), reason="no kernel can be built here"
)


def operator_calls():
    """Calls of all four operators, with arguments that ask for gradients."""
    token = torch.randn(1, 3, 3, 2, 1, 1, 2, dtype=torch.float64)
    angles = torch.randn(3, 3, 2, 1, 1, dtype=torch.float64)
    options = (*4 * [None], None, "square", 0.5)
    ops = torch.ops.gsa_core
    out, lse = ops.attention(token, token, token, *options)
    return {
        "attention": lambda x: ops.attention(x, token, token, *options),
        "attention_backward": lambda x: ops.attention_backward(
            x, token, token, token, *options, out, lse
        ),
        "rotation": lambda x: ops.rotation(x, angles, angles.cos(), angles.sin()),
        "rotation_backward": lambda x: ops.rotation_backward(x, token, angles.cos(), angles.sin()),
    }, token


def first(result):
    return result if isinstance(result, torch.Tensor) else result[0]


@needs_kernel
@pytest.mark.parametrize(
    "name", ["attention", "attention_backward", "rotation", "rotation_backward"]
)
def test_operators_lose_no_derivative(name):
    """Each refuses forward mode, and has a rule of autograd: a gradient or an error."""
    calls, token = operator_calls()
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="use method='auto'"):
        calls[name](forward_ad.make_dual(token, token))
    with pytest.raises(RuntimeError):
        torch.func.grad(lambda x: first(calls[name](x)).sum())(token)
    result = first(calls[name](token.clone().requires_grad_())).sum()
    if name.endswith("backward"):
        with pytest.raises(NotImplementedError, match="method='written_out'"):
            result.backward()
    else:
        result.backward()


@needs_kernel
def test_numbers_beside_the_result_of_attention_have_no_gradient():
    calls, token = operator_calls()
    out, logarithms = calls["attention"](token.clone().requires_grad_())
    assert out.requires_grad
    assert not logarithms.requires_grad


@needs_kernel
def test_an_input_computed_from_another_is_counted_once():
    """The second derivative of attention whose keys are computed from its queries."""
    token = torch.randn(1, 3, 3, 1, 1, 1, 2, dtype=torch.float64, requires_grad=True)

    def attended(x, by):
        tiling = Tiling(3, 3, None)
        tables = OffsetTables()
        return by(x, 2 * x, x.square(), tables, tiling=tiling, scale=0.5)

    found = []
    for by in (fused_attention, reference.attention):
        (gradient,) = torch.autograd.grad(
            attended(token, by).square().sum(), token, create_graph=True
        )
        found += torch.autograd.grad(gradient.square().sum(), token)
    assert torch.allclose(*found, rtol=1e-10)
