"""Every implementation of attention in the registry gives the numbers of the reference."""

from __future__ import annotations

import pytest
import torch
from triton_interpreter import patched_once

from gsa_core import GroupSelfAttention, LiftingSelfAttention, point_group
from gsa_core.attention.backends.registry import BACKENDS
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling


def sizes(name):
    """Images, heads and frames; few for Triton, which is interpreted here."""
    return (1, 1, 2) if name == "triton" else (2, 2, 4)


def problem(name):
    return BACKENDS[name].problem("cpu", torch.float64, 5)


@pytest.fixture(params=BACKENDS)
def name(request):
    if problem(request.param):
        pytest.skip(problem(request.param))
    with patched_once():
        yield request.param


@pytest.mark.sampled(40)
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("terms", [(), ("rows", "cols"), ("pairs",), ("rows", "cols", "frames")])
@pytest.mark.parametrize(
    ("key_sets", "value_sets"), [(1, 1), (4, 4), (1, 4), (4, 1)], ids=lambda x: str(x)
)
def test_they_equal_the_reference(name, key_sets, value_sets, terms, window, noise):
    """Keys and values in one set for all frames, or in one for each, or one of the two."""
    size, tiling = (5, 6), Tiling(5, 6, window)
    batch, heads, frames = sizes(name)
    query = noise(batch, *size, frames, 1, heads, 3)
    key, value = (
        noise(batch, *size, min(sets, frames), frames, heads, 3) for sets in (key_sets, value_sets)
    )
    rows, cols = (2 * reach + 1 for reach in tiling.reaches)
    shapes = {"rows": (rows,), "cols": (cols,), "pairs": (rows, cols), "frames": (1, frames)}
    tables = [noise(frames, *shapes[term], heads, 3) for term in terms]
    inputs = [x.requires_grad_() for x in (query, key, value, *tables)]
    found = []
    for backend in (BACKENDS[name], BACKENDS["written_out"]):
        known = OffsetTables(**dict(zip(terms, tables, strict=True)))
        out = backend.attention(query, key, value, known, tiling, scale=0.4)
        assert out.shape == query.shape
        found.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for got, expected in zip(*found, strict=True):
        assert torch.allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lifting", {"positional": "none"}),
        ("lifting", {"window": 3}),
        ("joint", {"positional": "none"}),
        ("published", {"window": 3}),
    ],
)
def test_dropped_keys_are_the_same(name, kind, options, noise):
    """Dropout draws values for each frame where keys are shared by all."""
    batch, heads, order = sizes(name)
    group, found = point_group(f"C{order}"), []
    frames = () if kind == "lifting" else (order,)
    for method in (name, "written_out"):
        torch.manual_seed(0)
        options = {**options, "method": method, "attention_dropout": 0.4}
        if kind == "lifting":
            layer = LiftingSelfAttention(group, 2, 4, heads, **options).double()
        else:
            layer = GroupSelfAttention(group, 2, 4, heads, form=kind, **options).double()
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(batch, 2, *frames, 5, 5, generator=generator, dtype=torch.float64)
        found.append(layer(x))
    assert torch.allclose(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", BACKENDS)
def test_a_problem_is_raised_where_it_was_named_and_only_there(method, monkeypatch):
    for name, backend in list(BACKENDS.items()):
        if name != "torch":
            refusing = type(backend)(backend.attention, lambda *x: "it has none")
            monkeypatch.setitem(BACKENDS, name, refusing)
    layer = GroupSelfAttention(point_group("C2"), 2, 4, 2, window=3, method=method)
    x = torch.zeros(1, 2, 2, 4, 4)
    if method == "torch":
        expected = layer(x)
        layer.method = "auto"
        assert torch.equal(layer(x), expected)
    else:
        with pytest.raises(ValueError, match=f"method: got {method!r}; it has none"):
            layer(x)
