"""Torch's fused attention on a GPU: widths and grids of its kernels, constants that are kept.

Shapes are followed on `meta`, which is treated as a GPU is.
"""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from cases import sized
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from gsa_core import GroupSelfAttention, LiftingSelfAttention, point_group
from gsa_core.attention import constants
from gsa_core.attention.backends import sdpa
from gsa_core.common.cached import constant

FORMS = ("lifting", "joint", "framewise", "published")


def layer(form, options, **where):
    options = sized({"method": "torch", **options}, 6)
    if form == "lifting":
        return LiftingSelfAttention(point_group("C4"), 2, 4, 2, **options, **where)
    return GroupSelfAttention(point_group("C4"), 2, 4, 2, form=form, **options, **where)


def features(form, batch=2, side=6, **where):
    frames = () if form == "lifting" else (4,)
    return torch.zeros(batch, 2, *frames, side, side, **where)


@pytest.fixture
def reached(monkeypatch):
    """Shapes of queries, keys and values that reach torch's attention."""
    shapes, real = [], functional.scaled_dot_product_attention

    def recorded(query, key, value, **options):
        shapes.extend(x.shape for x in (query, key, value))
        return real(query, key, value, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", recorded)
    return shapes


@pytest.mark.sampled(40)
@pytest.mark.parametrize("head_dim", [1, 7, 10, 12, 16])
@pytest.mark.parametrize(("dtype", "unit"), [(torch.bfloat16, 8), (torch.float16, 8),
                                             (torch.float32, 4), (torch.float64, 2)])  # fmt: skip
@pytest.mark.parametrize("options", [{"positional": "none"}, {"window": 3}], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_widths_are_what_a_gpu_reads_at_once(form, options, dtype, unit, head_dim, reached):
    module = layer(form, {**options, "head_dim": head_dim}, device="meta", dtype=dtype)
    out = module(features(form, device="meta", dtype=dtype))
    assert out.shape[1] == 4
    assert reached
    assert all(shape[-1] % unit == 0 for shape in reached)


@pytest.mark.parametrize(
    ("form", "options", "batch", "side"),
    [
        ("framewise", {"positional": "none"}, 9000, 2),
        ("framewise", {"window": 3}, 9000, 6),
        ("joint", {"window": 3}, 40_000, 5),
        ("lifting", {"window": 3}, 1, 1040),  # 67,600 tiles
    ],
)
def test_no_axis_of_a_grid_is_too_long(form, options, batch, side, reached):
    module = layer(form, options, device="meta")
    out = module(features(form, batch, side, device="meta"))
    assert out.shape[0] == batch
    assert len(reached) >= 6  # two parts
    assert all(max(shape[:2]) <= 65_535 for shape in reached)


@pytest.mark.parametrize("of_bias", [None, (5, 1, 3, 4), (5, 7, 3, 4), "boolean"], ids=str)
def test_parts_and_padding_change_nothing(of_bias, noise, monkeypatch):
    query, key, value = (noise(5, 7, n, 3).requires_grad_() for n in (3, 4, 4))
    bias = None
    if of_bias is not None:
        bias = noise(5, 1, 3, 4) > -1 if of_bias == "boolean" else noise(*of_bias)
    whole = sdpa.fused(query, key, value, bias, 0.3)
    monkeypatch.setattr(sdpa, "_GRID", 3)
    parts = sdpa.fused_on_gpu(query, key, value, bias, 0.3)
    found, expected = (
        torch.autograd.grad(x.square().sum(), (query, key, value)) for x in (parts, whole)
    )
    for a, b in zip((parts, *found), (whole, *expected), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)


def test_values_are_not_copied_without_terms(monkeypatch, noise):
    given = [noise(1, 2, 3, 4) for _ in range(3)]
    reached, real = [], functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional, "scaled_dot_product_attention",
        lambda *x, **options: reached.extend(x) or real(*x, **options),
    )  # fmt: skip
    sdpa.attend(*given, None, 1.0)
    assert [x.data_ptr() for x in reached] == [x.data_ptr() for x in given]


class Operators(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("window", [{}, {"window": 3}, {"window": 3, "window_shape": "soft_disc"}])
@pytest.mark.parametrize("positional", ["none", "relative"])
@pytest.mark.parametrize("form", FORMS)
def test_constants_are_made_once(form, positional, window):
    """Masks, offsets and one-hot terms: the second step makes no indices but of the tables."""
    module, x = layer(form, {"positional": positional, **window}), features(form)
    first = module(x)
    with Operators() as seen:
        second = module(x)
    assert torch.equal(first, second)
    assert not seen.names & {"eye", "linspace", "bitwise_or", "le", "ge", "lt"}


@pytest.mark.parametrize("soft", [False, True])
def test_what_is_made_for_inference_serves_a_backward_pass(soft):
    options = {"window": 3, "window_shape": "soft_disc" if soft else "square"}
    module, x = layer("joint", options), features("joint")
    constants.mask_of.cache_clear()
    constants.one_hot.cache_clear()
    with torch.inference_mode():
        module(x)
    module(x).sum().backward()
    assert module.query_key_value.weight.grad.isfinite().all()


def test_constants_follow_device_and_type():
    seen = (5, 6, 3, "soft_disc")
    for device, dtype in (("cpu", torch.float32), ("meta", torch.float32), ("cpu", torch.float64)):
        like = torch.empty(0, device=device)
        mask = constants.mask_of(*seen, torch.device(device), dtype, like=like)
        assert (mask.device.type, mask.dtype) == (device, dtype)
        assert constants.mask_of(*seen, torch.device(device), dtype, like=like) is mask


def test_tensors_without_numbers_are_not_kept():
    """A mask of one mode of tracing would be met by tensors of another."""
    module = layer("joint", {"window": 3})
    constants.mask_of.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        module(mode.from_tensor(features("joint")))
    assert type(module(features("joint"))) is torch.Tensor


def test_constants_are_bounded():
    made = []
    kept = constant(lambda n: made.append(n) or object())
    like = torch.empty(0)
    for n in range(100):
        kept(n, like=like)
    kept(99, like=like)
    assert len(made) == 100
    kept(0, like=like)
    assert len(made) == 101  # the oldest is not kept


def test_constants_are_in_no_checkpoint_and_no_copy():
    module = layer("joint", {"window": 3})
    before = len(pickle.dumps(module)), list(module.state_dict())
    module(features("joint"))
    assert (len(pickle.dumps(copy.deepcopy(module))), list(module.state_dict())) == before


def test_constants_are_made_by_several_threads():
    module, x = layer("joint", {"window": 3}), features("joint")
    constants.mask_of.cache_clear()
    constants.offsets_of.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: module(x), range(32)))
    assert all(torch.equal(out, found[0]) for out in found)
