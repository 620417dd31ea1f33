"""Derivatives of every kind: those of the arithmetic written out, or a sentence."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from cases import randomised, sized
from derivative_kinds import DERIVATIVES, RECORDED, TRANSFORMS
from running_cases import CONFIGURATIONS, network
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, jacfwd, jacrev

from gsa_core import (
    GroupConv2d,
    GroupSelfAttention,
    LiftingConv2d,
    LiftingSelfAttention,
    PatchEmbedding,
    point_group,
)
from gsa_core.attention.backends import reference
from gsa_core.attention.backends.cpu import problem as kernel_problem
from gsa_core.common import derivatives

KINDS = ("lifting", "joint", "framewise", "published")
ENCODINGS = {
    "none": {"positional": "none"},
    "absolute": {"positional": "absolute"},
    "table": {"encoding": "table"},
    "function": {"encoding": "continuous"},
    "radial": {"positional": "radial"},
    "rotary": {"positional": "rotary"},
    "published": {"encoding": "published", "head_dim": 3},
}
WINDOWS = (None, 3)
OF_EVERY_LAYER = (
    ("forward_over_reverse", "auto"),
    ("gradients_of_samples", "auto"),
    ("gradient_penalty", "auto"),
    ("gradient_penalty", "torch"),
)
SIZE = (3, 4)

needs_kernel = pytest.mark.skipif(
    bool(kernel_problem("cpu", torch.float64, 2)), reason="no kernel can be built here"
)
ignores_torchs_advice = pytest.mark.filterwarnings(
    "ignore:There is a performance drop", "ignore:.*use_reentrant", "ignore:Using backward"
)


@cache
def layer_of(kind, encoding, window):
    options = sized({"window": window, **ENCODINGS[encoding]}, SIZE)
    group = point_group("C2")
    if kind == "lifting":
        return randomised(LiftingSelfAttention(group, 1, 4, 2, **options))
    return randomised(GroupSelfAttention(group, 1, 4, 2, form=kind, **options))


def points(layer, seed=0):
    """A point and a direction."""
    generator = torch.Generator().manual_seed(seed)
    frames = () if isinstance(layer, LiftingSelfAttention) else (2,)
    return torch.randn(2, 1, 1, *frames, *SIZE, generator=generator, dtype=torch.float64).unbind()


def derivative(name, layer, method):
    layer.method = method
    return DERIVATIVES[name](layer, *points(layer))


@cache
def right(name, *which):
    return derivative(name, layer_of(*which), "written_out").detach()


def error(name, method, *which):
    expected = right(name, *which)
    assert expected.norm() > 0
    return (derivative(name, layer_of(*which), method) - expected).norm() / expected.norm()


def layers():
    """Every kind with every encoding and derivative, in a window and in the whole image in turn."""
    for i, kind in enumerate(KINDS):
        for j, encoding in enumerate(ENCODINGS):
            for k, of in enumerate(OF_EVERY_LAYER):
                yield kind, encoding, WINDOWS[(i + j + k) % 2], *of


@pytest.mark.sampled(36)
@pytest.mark.parametrize(("kind", "encoding", "window", "name", "method"), list(layers()))
def test_of_every_layer(kind, encoding, window, name, method):
    assert error(name, method, kind, encoding, window) < 1e-10


OF_EVERY_KIND = (("lifting", "table", None), ("joint", "rotary", 3), ("framewise", "function", 3))


@pytest.mark.sampled(40)
@ignores_torchs_advice
@pytest.mark.parametrize(
    ("which", "name", "method"),
    [(which, name, "auto") for which in OF_EVERY_KIND for name in DERIVATIVES]
    + [(OF_EVERY_KIND[i % 3], name, "torch") for i, name in enumerate(DERIVATIVES)],
)
def test_of_every_kind(which, name, method):
    assert error(name, method, *which) < 1e-10


@needs_kernel
@ignores_torchs_advice
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("which", [("joint", "rotary", 3), ("published", "table", None)])
def test_of_the_kernel(which, name):
    assert error(name, "kernel", *which) < 1e-10


@needs_kernel
@ignores_torchs_advice
@pytest.mark.parametrize("name", TRANSFORMS)
def test_kernel_that_is_asked_for_names_the_way_out(name):
    with pytest.raises(ValueError, match=r"got 'kernel'; it has no rule.*use method='auto'"):
        derivative(name, layer_of("joint", "rotary", 3), "kernel")


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    "name", ["gradients_of_parameters", "forward_over_reverse", "gradient_penalty", "ensemble"]
)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_of_whole_networks(configuration, name):
    model = randomised(network(configuration)[0], seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.2)
    x, v = torch.randn(2, 1, 1, 8, 8, dtype=torch.float64).unbind()
    found = []
    for method in ("auto", "written_out"):
        for module in model.modules():
            if hasattr(module, "method"):
                module.method = method
        found.append(DERIVATIVES[name](model, x, v))
    assert (found[0] - found[1]).norm() < 1e-10 * found[1].norm()


@pytest.mark.parametrize(
    "layer",
    [
        LiftingConv2d(point_group("C4"), 1, 2, 3),
        PatchEmbedding(point_group("D1"), 1, 2, 2),
        nn.Sequential(
            LiftingConv2d(point_group("C2"), 1, 2, 3), GroupConv2d(point_group("C2"), 2, 1, 3)
        ),
    ],
)
def test_convolutions_of_several_sets_of_weights(layer):
    """One pass for an ensemble gives what a pass for each gives, and so do its derivatives."""
    layer, image = layer.double(), torch.randn(1, 1, 4, 4, dtype=torch.float64)
    found = DERIVATIVES["ensemble"](layer, image, image)
    assert torch.allclose(found[0], layer(image), rtol=1e-12)
    jacobian = {}
    for way in (jacfwd, jacrev):
        parameters = {name: p.detach() for name, p in layer.named_parameters()}
        jacobian[way] = way(lambda p: functional_call(layer, p, (image,)))(parameters)
    for name, found in jacobian[jacfwd].items():
        assert torch.allclose(found, jacobian[jacrev][name], rtol=1e-10)


@pytest.mark.parametrize("name", ["forward_mode", "gradient_penalty"])
def test_control_a_wrong_derivative_is_noticed(name, monkeypatch):
    """Weights of attention that are taken for constants."""
    which = ("joint", "none", None)
    assert error(name, "auto", *which) < 1e-10
    attend = reference.attend
    monkeypatch.setattr(reference, "attend", lambda q, k, *others: attend(q.detach(), k, *others))
    assert error(name, "auto", *which) > 1e-3


@pytest.mark.parametrize("method", ["auto", "torch", "written_out"])
@pytest.mark.parametrize("which", [("joint", "rotary", 3), ("lifting", "none", None)])
def test_by_finite_differences(which, method):
    layer = layer_of(*which)
    layer.method = method
    x = points(layer)[0].requires_grad_()
    assert gradcheck(layer, x, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(layer, x, check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("method", ["auto", "torch"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "which", [("joint", "none", None), ("framewise", "table", 3), ("published", "rotary", None)]
)
def test_gradient_penalty_under_autocast(which, dtype, method):
    """Queries, keys and values are of several types there."""
    layer = copy.deepcopy(layer_of(*which)).float()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.3)
    x = points(layer)[0].float().requires_grad_()

    def penalty(enabled):
        with torch.autocast("cpu", dtype, enabled=enabled):
            out = layer(x).float().square().sum()
            (gradient,) = torch.autograd.grad(out, x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), x)[0]

    layer.method = "written_out"
    expected = penalty(enabled=False)
    layer.method = method
    assert (penalty(enabled=True) - expected).norm() < 0.1 * expected.norm()


@needs_kernel
@pytest.mark.parametrize("encoding", ["none", "rotary"])
def test_training_is_by_the_kernel(encoding):
    """Its rule for gradients that are differentiated is for those alone."""
    layer = layer_of("joint", encoding, 3)
    layer.method = "auto"
    used = set()

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            used.add(str(function))
            return function(*args, **(kwargs or {}))

    with Seen():
        layer(points(layer)[0].requires_grad_()).square().sum().backward()
    assert {f"gsa_core.attention{x}.default" for x in ("", "_backward")} <= used
    assert not any("softmax" in name for name in used)


def test_a_transform_is_seen():
    """By names of torch that are not public: this says if they change."""
    seen = []

    def function(x):
        seen.append(derivatives.is_transformed())
        return x.square().sum()

    x = torch.ones(2)
    function(x)
    torch.func.grad(function)(x)
    torch.func.vmap(function)(x[None])
    torch.func.jvp(function, (x,), (x,))
    with forward_ad.dual_level():
        function(x)
    assert seen == [False, True, True, True, True]
    assert not derivatives.is_transformed()
