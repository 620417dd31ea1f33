"""Layers and networks on any device and in any type, as torch's own: made there, or moved later."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from cases import randomised, sized
from torch import nn

import gsa_core as g
from gsa_core import build_model, point_group
from gsa_core.attention.encodings.registry import POSITIONAL
from gsa_core.common.constants import constants_of
from gsa_core.models.build import MODELS

C4, C8 = point_group("C4"), point_group("C8")
# A call of every public layer, and what it is applied to.
LAYERS = {
    "LiftingSelfAttention": (
        lambda **o: g.LiftingSelfAttention(C8, 3, 8, 2, window=3, **o), (2, 3, 6, 6),
    ),
    "GroupSelfAttention": (
        lambda **o: g.GroupSelfAttention(C4, 3, 8, 2, image_size=6, **o), (2, 3, 4, 6, 6),
    ),
    "LiftingConv2d": (lambda **o: g.LiftingConv2d(C8, 3, 2, 3, **o), (2, 3, 6, 6)),
    "GroupConv2d": (lambda **o: g.GroupConv2d(C8, 3, 2, 3, **o), (2, 3, 8, 6, 6)),
    "GroupLinear": (lambda **o: g.GroupLinear(C4, 3, 2, **o), (2, 4, 3)),
    "PatchEmbedding": (lambda **o: g.PatchEmbedding(C8, 3, 2, 2, **o), (2, 3, 6, 6)),
    "Stem": (lambda **o: g.Stem(C8, 3, 2, **o), (2, 3, 6, 6)),
    "ChannelNorm": (lambda **o: g.ChannelNorm(3, **o), (2, 3, 4, 6, 6)),
    "FeedForward": (lambda **o: g.FeedForward(3, **o), (2, 3, 4, 6, 6)),
    "Block": (
        lambda **o: g.Block(g.GroupSelfAttention(C4, 4, 4, 2, window=3, **o), 4, **o),
        (2, 4, 4, 6, 6),
    ),
}  # fmt: skip
WITHOUT_PARAMETERS = {
    "Canonical", "GlobalPool", "GroupPool", "Model", "SymmetricMaxPool2d", "Symmetrized",
}  # fmt: skip

KINDS = [
    {"tokens": tokens, "positional": positional, "group": group}
    for tokens, positional, group in itertools.product(
        ("pixel", "patch", "stem", "trunk"),
        POSITIONAL,
        ("C4", "C8"),
    )
] + [
    {"tokens": "pixel", "form": "joint", "group": "D4"},
    {"tokens": "pixel", "form": "published", "group": "C3", "window": 3},
    {"tokens": "pixel", "window": 3, "window_shape": "soft_disc", "encoding": "continuous"},
    {"model": "hybrid", "positional": "rotary"},
    {"model": "gcnn", "group": "C8"},
    {"model": "staged", "group": "D4"},
    {"model": "staged_gcnn", "group": "C8"},
    {"model": "vit"},
    {"model": "symmetrized", "group": "D4"},
    {"model": "canonical", "group": "D8"},
    {"model": "gsa", "group": "D4", "softness": 0.5},
    {"model": "published_rotmnist", "group": "C3", "window": 3, "image_size": 22},
    {"model": "published_cifar10", "group": "D1"},
]  # fmt: skip


def network(options, **more):
    options = {"image_size": 8, **options}
    if not options.get("model", "").startswith("published"):
        options["channels"] = 4
    if options.get("model", "gsa") not in (
        "gcnn",
        "staged_gcnn",
    ) and "published" not in options.get("model", ""):
        options["depth"] = 2
    return build_model(**options, **more)


def images(options, dtype=torch.float32):
    torch.manual_seed(3)
    return torch.randn(2, 1, *2 * [options.get("image_size", 8)], dtype=dtype)


def tensors(module):
    return [*module.parameters(), *module.buffers(), *constants_of(module)]


def public_layers():
    found = (getattr(g, name) for name in g.__all__)
    return {x.__name__ for x in found if inspect.isclass(x) and issubclass(x, nn.Module)}


def test_every_public_layer_is_tried():
    assert public_layers() - WITHOUT_PARAMETERS == set(LAYERS)
    assert {kind.get("model", "gsa") for kind in KINDS} >= set(MODELS) - {"published_pcam"}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_layers_take_device_and_dtype(name, dtype):
    build, shape = LAYERS[name]
    layer = build(device="meta", dtype=dtype)
    floating = [x for x in tensors(layer) if x.is_floating_point()]
    assert floating
    assert all(x.device.type == "meta" for x in tensors(layer))
    assert all(x.dtype == dtype for x in floating)
    assert torch.get_default_dtype() == torch.float32
    here = build(dtype=dtype).eval()
    assert here(torch.zeros(shape, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("name", LAYERS)
def test_layers_without_them_are_those_of_the_default(name):
    build, _ = LAYERS[name]
    torch.manual_seed(0)
    plain = build()
    torch.manual_seed(0)
    told = build(device="cpu", dtype=torch.float32)
    for x, y in zip(plain.parameters(), told.parameters(), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("dtype", [torch.int64, "float32", float])
def test_a_wrong_dtype_is_named(dtype):
    with pytest.raises(TypeError, match="accepts a floating-point type"):
        g.GroupLinear(C4, 3, 2, dtype=dtype)


@pytest.mark.sampled(24)
@pytest.mark.parametrize(
    ("options", "assign"),
    [(kind, bool(i % 2)) for i, kind in enumerate(KINDS)]
    + [(kind, not i % 2) for i, kind in enumerate(KINDS) if i % 7 == 0 or i >= 40],
    ids=str,
)
def test_networks_of_the_meta_device_load_and_are_the_same(options, assign):
    with torch.device("meta"):
        empty = network(options)
    assert all(x.is_meta for x in tensors(empty))
    whole = randomised(network(options)).float()
    if not assign:
        empty = empty.to_empty(device="cpu")
        for x in [*empty.parameters(), *empty.buffers()]:
            x.detach().fill_(float("nan") if x.is_floating_point() else -1)
    empty.load_state_dict(whole.state_dict(), assign=assign)
    empty.eval()
    assert all(x.device.type == "cpu" for x in tensors(empty))
    with torch.no_grad():
        assert torch.equal(empty(images(options)), whole(images(options)))


@pytest.mark.parametrize("options", KINDS[:40:7] + KINDS[40:], ids=str)
def test_networks_take_device_and_dtype(options):
    model = network(options, device="meta", dtype=torch.float64)
    assert all(x.is_meta for x in tensors(model))
    assert {x.dtype for x in tensors(model) if x.is_floating_point()} == {torch.float64}
    assert "device" not in model.config


@pytest.mark.sampled(8)
@pytest.mark.parametrize("options", KINDS[:40:7] + KINDS[40:], ids=str)
def test_a_cast_network_is_as_precise_as_one_made_so(options):
    """Constants are computed again in float64, not cast from their rounding to float32."""
    made = randomised(network(options, dtype=torch.float64, mean=0.25))
    cast = network(options, mean=0.25).double().eval()
    cast.load_state_dict(made.state_dict())
    x = images(options, torch.float64)
    with torch.no_grad():
        assert torch.allclose(cast(x), made(x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", ["disc", "soft_disc"])
@pytest.mark.parametrize("method", ["auto", "torch", "written_out"])
def test_soft_windows_are_as_precise_as_their_input(shape, method):
    """Whatever the default type is when they are applied."""
    options = sized({"window": 5, "window_shape": shape, "method": method}, 9)
    layer = randomised(g.GroupSelfAttention(C8, 3, 4, 2, **options))
    x = torch.randn(1, 3, 8, 9, 9, dtype=torch.float64)
    here = layer(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.allclose(layer(x), here, rtol=1e-13, atol=1e-13)
    finally:
        torch.set_default_dtype(torch.float32)


def test_weights_that_come_to_another_device_meet_their_constants():
    """As when a copy on the meta device is called with the weights of an ensemble."""
    model = g.GroupConv2d(C8, 2, 2, 3)
    x = torch.randn(1, 2, 8, 5, 5)
    empty = g.GroupConv2d(C8, 2, 2, 3, device="meta")
    found = torch.func.functional_call(empty, dict(model.named_parameters()), x)
    assert torch.equal(found, model(x))


@pytest.mark.parametrize("kind", [g.LiftingConv2d, g.GroupConv2d])
def test_constants_are_made_for_training_wherever_they_are_made(kind):
    layer = kind(C8, 2, 2, 3)
    with torch.inference_mode():
        layer.double()
    assert not any(x.is_inference() for x in constants_of(layer))
