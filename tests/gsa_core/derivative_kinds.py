"""Every way in which torch is asked for a derivative: a function of (layer, x, tangent) each."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad
from torch.autograd.functional import hessian as hessian_by_rows
from torch.autograd.functional import jacobian as jacobian_by_rows
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint


def loss(layer):
    """A number that has derivatives of every order."""

    def of(x):
        out = layer(x)
        return (out.square() + out.pow(3)).sum()

    return of


def forward_mode(layer, x, v):
    return jvp(layer, (x,), (v,))[1]


def dual_numbers(layer, x, v):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(layer(forward_ad.make_dual(x, v))).tangent


def reverse_mode(layer, x, v):
    out, pull_back = vjp(layer, x)
    return pull_back(out)[0]


def gradient(layer, x, v):
    return grad(loss(layer))(x)


def gradients_of_samples(layer, x, v):
    return vmap(grad(lambda sample: loss(layer)(sample[None])))(torch.cat([x, v]))


def mapped(layer, x, v):
    return vmap(lambda sample: layer(sample[None]))(torch.cat([x, v]))


def forward_over_reverse(layer, x, v):
    return jvp(grad(loss(layer)), (x,), (v,))[1]


def reverse_over_forward(layer, x, v):
    return grad(lambda x: forward_mode(layer, x, v).square().sum())(x)


def gradient_penalty(layer, x, v):
    """Of input and parameters."""
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(layer)(x), x, create_graph=True)
    first.square().sum().backward()
    wanted = [x, *layer.parameters()]
    found = torch.cat([y.grad.flatten() for y in wanted if y.grad is not None])
    layer.zero_grad()
    return found


def third_derivative(layer, x, v):
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(layer)(x), x, create_graph=True)
    for _ in range(2):
        (found,) = torch.autograd.grad(found.square().sum(), x, create_graph=True)
    return found


def penalty_of_parameters(layer, x, v):
    """Where the input itself asks for no gradient."""
    wanted = list(layer.parameters())
    first = torch.autograd.grad(loss(layer)(x), wanted, create_graph=True, materialize_grads=True)
    norm = sum(y.square().sum() for y in first)
    return torch.cat([y.flatten() for y in torch.autograd.grad(norm, wanted)])


def double_backward_of_a_direction(layer, x, v):
    return torch.autograd.functional.hvp(loss(layer), x, v)[1]


def forward_over_a_recorded_pass(layer, x, v):
    """Values are recorded outside of the forward-mode level, gradients are taken in it."""
    x = x.clone().requires_grad_()
    out = layer(x)
    with forward_ad.dual_level():
        along = forward_ad.make_dual(torch.ones_like(out), out.detach())
        return forward_ad.unpack_dual(torch.autograd.grad(out, x, along)[0]).tangent


def batched_gradients(layer, x, v):
    x = x.clone().requires_grad_()
    out = layer(x)
    batch = torch.stack([torch.ones_like(out), out.detach()])
    return torch.autograd.grad(out, x, batch, is_grads_batched=True)[0]


def mapped_gradients(layer, x, v):
    x = x.clone().requires_grad_()
    out = layer(x)
    batch = torch.stack([torch.ones_like(out), out.detach()])
    return vmap(lambda along: torch.autograd.grad(out, x, along, retain_graph=True)[0])(batch)


def gradients_of_parameters(layer, x, v):
    """For every sample."""
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def of_sample(parameters, sample):
        return functional_call(layer, parameters, (sample[None],)).square().sum()

    found = vmap(grad(of_sample), in_dims=(None, 0))(parameters, torch.cat([x, v]))
    return torch.cat([found[name].flatten() for name in sorted(found)])


def along_parameters(layer, x, v):
    """Forward mode in the parameters."""
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    function = lambda parameters: functional_call(layer, parameters, (x,))  # noqa: E731
    return jvp(function, (parameters,), ({n: p.cos() for n, p in parameters.items()},))[1]


def ensemble(layer, x, v):
    """Results of several sets of parameters in one pass."""
    several = {n: torch.stack([p.detach(), p.detach().cos()]) for n, p in layer.named_parameters()}
    return vmap(lambda parameters: functional_call(layer, parameters, (x,)))(several)


def checkpointed(layer, x, v, reentrant=False):
    x = x.clone().requires_grad_()
    out = checkpoint(layer, x, use_reentrant=reentrant)
    out.square().sum().backward()
    found = torch.cat([y.grad.flatten() for y in (x, *layer.parameters())])
    layer.zero_grad()
    return found


def checkpointed_reentrant(layer, x, v):
    return checkpointed(layer, x, v, reentrant=True)


def checkpointed_penalty(layer, x, v):
    return gradient_penalty(Checkpointed(layer), x, v)


class Checkpointed(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False)


# In a transform or a level of forward mode, and outside of both.
TRANSFORMS = {
    f.__name__: f
    for f in (
        forward_mode, dual_numbers, reverse_mode, gradient, gradients_of_samples, mapped,
        forward_over_reverse, reverse_over_forward, gradients_of_parameters, along_parameters,
        ensemble,
    )
}  # fmt: skip
TRANSFORMS |= {
    "jacrev": lambda layer, x, v: jacrev(layer)(x),
    "jacfwd": lambda layer, x, v: jacfwd(layer)(x),
    "hessian": lambda layer, x, v: hessian(loss(layer))(x),
    "hessian, reverse twice": lambda layer, x, v: jacrev(jacrev(loss(layer)))(x),
    "jacobian of autograd, forward": lambda layer, x, v: jacobian_by_rows(
        layer, x, vectorize=True, strategy="forward-mode"
    ),
}
RECORDED = {
    f.__name__: f
    for f in (
        gradient_penalty, third_derivative, penalty_of_parameters, double_backward_of_a_direction,
        forward_over_a_recorded_pass, batched_gradients, mapped_gradients, checkpointed,
        checkpointed_reentrant, checkpointed_penalty,
    )
}  # fmt: skip
RECORDED |= {
    "hessian of autograd": lambda layer, x, v: hessian_by_rows(loss(layer), x),
    "hessian of autograd, batched": lambda layer, x, v: hessian_by_rows(
        loss(layer), x, vectorize=True
    ),
    "jacobian of autograd, batched": lambda layer, x, v: jacobian_by_rows(layer, x, vectorize=True),
    "hessian of autograd, two batches": lambda layer, x, v: jacobian_by_rows(
        lambda x: jacobian_by_rows(loss(layer), x, vectorize=True, create_graph=True),
        x,
        vectorize=True,
    ),
}
DERIVATIVES = TRANSFORMS | RECORDED
