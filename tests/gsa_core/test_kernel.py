"""Our own operator: the same numbers as every other way, or a sentence that says why not."""

from __future__ import annotations

import pytest
import torch
from cases import randomised, sized
from torch.nn.attention import SDPBackend, sdpa_kernel

from gsa_core import (
    GroupSelfAttention,
    LiftingSelfAttention,
    build_model,
    count_flops,
    point_group,
)
from gsa_core.attention.backends.cpu import problem as kernel_problem
from gsa_core.attention.backends.operators import fused_attention
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

KINDS = ("lifting", "joint", "framewise", "published")
OPTIONS = (
    {},
    {"positional": "none"},
    {"positional": "absolute"},
    {"positional": "radial"},
    {"positional": "rotary"},
    {"encoding": "continuous"},
    {"encoding": "published", "head_dim": 7},
)
WINDOWS = ((None, "auto"), (3, "auto"), (5, "disc"), (5, "soft_disc"), (99, "auto"))

needs_kernel = pytest.mark.skipif(
    bool(kernel_problem("cpu", torch.float64, 2)), reason="no kernel can be built here"
)


def build(kind, name="C4", **options):
    options = sized(options, (7, 10) if name == "D2" else 7)
    group = point_group(name)
    if kind == "lifting":
        return randomised(LiftingSelfAttention(group, 3, 6, 2, **options))
    return randomised(GroupSelfAttention(group, 3, 6, 2, form=kind, **options))


def features(layer, noise, size, batch=2):
    frames = () if isinstance(layer, LiftingSelfAttention) else (layer.group.order,)
    return noise(batch, 3, *frames, *size)


@pytest.mark.sampled(45)
@needs_kernel
@pytest.mark.parametrize(("window", "shape"), WINDOWS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_same(kind, options, window, shape, noise):
    """Values and gradients, odd and even sides, sides that no vector of numbers divides."""
    options = {**options, "window": window, "window_shape": shape}
    if options.get("encoding") == "published" and window == 99:
        pytest.skip("its networks are sized by the window")
    methods = ["kernel", "torch", "written_out"]
    name, size = ("D2", (7, 10)) if options.get("encoding") != "continuous" else ("C3", (7, 7))
    layers = [build(kind, name, method=method, **options) for method in methods]
    x = features(layers[0], noise, size).requires_grad_()
    found = []
    for layer in layers:
        out = layer(x)
        wanted = [x, *layer.parameters()]
        found.append([out, *torch.autograd.grad(out.square().sum(), wanted)])
    *ways, reference = found
    largest = max(expected.norm() for expected in reference)  # the gradient of a key's bias is zero
    for way in ways:
        for got, expected in zip(way, reference, strict=True):
            assert (got - expected).norm() <= 1e-12 * largest


@needs_kernel
@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_as_close_as_float32_can_be(kind, noise):
    layer = build(kind, "D4", window=3, method="kernel").float()
    x = features(layer, noise, (12, 12)).float()
    close = layer(x)
    layer.method = "written_out"
    assert (close - layer(x)).norm() < 1e-5 * close.norm()


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_are_computed_with_in_32(dtype, noise):
    layer = build("joint", window=3, method="kernel")
    x = features(layer, noise, (7, 7))
    exact = layer(x)
    rough = layer.to(dtype)(x.to(dtype))
    assert rough.dtype == dtype
    assert (rough - exact).norm() < 0.05 * exact.norm()


@needs_kernel
def test_threads_change_no_bit(noise):
    """Of the operator; the linear maps around it are torch's."""
    query, key, value = (noise(3, 9, 9, 4, 1, 2, 6).float().requires_grad_() for _ in range(3))
    rows, cols = (noise(4, 5, 2, 6).float().requires_grad_() for _ in range(2))
    tables, results, threads = OffsetTables(rows, cols), [], torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        out = fused_attention(query, key, value, tables, Tiling(9, 9, 5), scale=0.4)
        results.append([out, *torch.autograd.grad(out.sum(), [query, key, value, rows, cols])])
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_kernel
@pytest.mark.parametrize("window", [3, None])
def test_what_is_not_a_number_does_not_vanish(window, noise):
    layer = build("framewise", window=window, method="kernel")
    x = features(layer, noise, (7, 7))
    x[0, 0, 0, 3, 3] = float("nan")
    out = layer(x)
    assert out[0, :, :, 3, 3].isnan().all()
    assert out[1].isfinite().all()
    assert out[0].isfinite().any() == (window is not None)


@needs_kernel
@pytest.mark.parametrize("scale", [1e3, 1e-3])
def test_scores_of_any_size_are_stable(scale, noise):
    layer = build("joint", window=5, method="kernel").float()
    x = (scale * features(layer, noise, (8, 8))).float()
    close = layer(x)
    layer.method = "written_out"
    assert close.isfinite().all()
    assert torch.allclose(close, layer(x), rtol=1e-3, atol=1e-3 * scale)


@needs_kernel
def test_stands_aside_where_fused_attention_is_switched_off(noise):
    layer = build("joint", window=3)
    x = features(layer, noise, (7, 7))
    with sdpa_kernel(SDPBackend.MATH):
        assert kernel_problem("cpu", x.dtype, 3) == "fused attention is switched off"
        _, tangent = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    step = 1e-6
    with torch.no_grad():
        difference = (layer(x + step) - layer(x - step)) / (2 * step)
    assert torch.allclose(tangent, difference, rtol=1e-6, atol=1e-6)


def test_operations_are_counted_from_shapes():
    """Five tokens in a row, three neighbours, at the ends two: 13 pairs, 2 x 2 x 3 operations."""
    layer = GroupSelfAttention(point_group("C1"), 3, 3, 1, positional="none", window=3)
    maps = 2 * 5 * (3 * 9 + 3 * 3)
    assert count_flops(layer, (3, 1, 1, 5)) - maps == 13 * 2 * 2 * 3


def test_network_is_the_same_by_every_method():
    model = build_model(group="D4", image_size=8, positional="relative", tokens="pixel").eval()
    image = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = []
    for method in ("auto", "torch"):
        for module in model.modules():
            if hasattr(module, "method"):
                module.method = method
        logits.append(model(image))
    assert torch.allclose(*logits, rtol=1e-4, atol=1e-5)
