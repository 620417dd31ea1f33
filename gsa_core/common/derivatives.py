"""Derivatives that fused attention has no rule for: when they are asked for, and how to get them.

A fused operator gives gradients, computed once. Gradients of gradients, forward-mode derivatives
and the transforms of `torch.func` differentiate the arithmetic written out in torch's operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["differentiable_gradients", "gradients_are_differentiated", "is_transformed"]


def is_transformed() -> bool:
    """Whether a transform of `torch.func` or a forward-mode level is active.

    Inside of one no tensor says by `requires_grad` whether it is differentiated.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


# A compiler may take the answer for a constant: it compiles again inside a transform.
is_transformed._dynamo_marked_constant = True  # type: ignore[attr-defined]


def gradients_are_differentiated() -> bool:
    """Whether a backward pass must be differentiable itself; asked within it.

    Autograd enables gradients in a backward pass under ``create_graph=True``, and only there.
    """
    return torch.is_grad_enabled() or is_transformed()


def differentiable_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    out_grad: Tensor,
) -> list[Tensor | None]:
    """Gradients of ``function(*inputs)`` that have derivatives of every order themselves.

    Parameters
    ----------
    function
        In operators of torch that have derivatives of every order.
    inputs, needed
        Its arguments, and which of them want a gradient.
    out_grad
        Gradient of its result.
    """
    device = out_grad.device.type
    with torch.enable_grad(), torch.autocast(device, enabled=False):
        # Views are new to autograd: one input may have been computed from another.
        views: list[Any] = [
            x.view_as(x) if x is not None and wanted else x
            for x, wanted in zip(inputs, needed, strict=True)
        ]
        wanted = [x for x, is_needed in zip(views, needed, strict=True) if is_needed]
        found = torch.autograd.grad(
            function(*views), wanted, out_grad, create_graph=True, materialize_grads=True
        )
    gradients = iter(found)
    return [next(gradients) if is_needed else None for is_needed in needed]
