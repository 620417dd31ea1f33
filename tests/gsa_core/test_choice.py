"""Which method `auto` takes: a small rule, stated here, and layers that follow it."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gsa_core import GroupSelfAttention, point_group
from gsa_core.attention.backends.cpu import problem as kernel_problem
from gsa_core.attention.backends.registry import faster_method
from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.encodings.tables import OffsetTables

# Of images of 8 rows and 8 columns, and of four frames.
TABLES = {
    "rows": torch.zeros(4, 15, 1, 1),
    "cols": torch.zeros(4, 15, 1, 1),
    "pairs": torch.zeros(4, 15, 15, 1, 1),
    "frames": torch.zeros(4, 1, 4, 1, 1),
}


@pytest.mark.parametrize(
    ("device", "dtype", "local", "terms", "width", "chosen"),
    [
        ("cpu", torch.float32, False, (), 15, "kernel"),
        ("cpu", torch.float32, False, (), 16, "torch"),
        ("cpu", torch.float32, False, ("frames",), 64, "torch"),
        ("cpu", torch.float32, True, (), 64, "kernel"),
        ("cpu", torch.float32, False, ("rows", "cols"), 15, "kernel"),
        ("cpu", torch.float32, False, ("rows", "cols"), 16, "torch"),
        ("cpu", torch.float32, False, ("rows", "cols", "frames"), 19, "kernel"),
        ("cpu", torch.float32, False, ("rows", "cols", "frames"), 20, "torch"),
        ("cpu", torch.float32, True, ("rows", "cols"), 64, "kernel"),
        ("cpu", torch.float32, False, ("pairs",), 64, "kernel"),
        ("cpu", torch.float64, False, (), 64, "kernel"),
        ("cpu", torch.bfloat16, False, (), 64, "kernel"),
        ("meta", torch.float32, False, (), 10, "kernel"),
        ("meta", torch.float32, False, (), 32, "torch"),
        ("cuda", torch.float32, True, ("pairs",), 10, "torch"),
    ],
)
def test_rule(device, dtype, local, terms, width, chosen):
    tables = OffsetTables(**{name: TABLES[name] for name in terms})
    assert faster_method(device, dtype, local=local, tables=tables, width=width) == chosen


@pytest.mark.parametrize(
    ("rotary", "width", "chosen"),
    [(False, 13, "kernel"), (False, 14, "torch"), (True, 9, "kernel"), (True, 10, "torch")],
)
def test_rule_on_several_threads(monkeypatch, rotary, width, chosen):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    rotation = RotaryEncoding(point_group("C2"), 1, 2, 4.0) if rotary else None
    tables = OffsetTables(rotation=rotation)
    asked = {"local": False, "tables": tables, "width": width}
    assert faster_method("cpu", torch.float32, **asked) == chosen


class Operators(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.skipif(
    bool(kernel_problem("cpu", torch.float32, 2)), reason="no kernel can be built here"
)
@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ({"positional": "none", "head_dim": 2}, True),
        ({"positional": "none", "head_dim": 16}, False),
        ({"positional": "none", "head_dim": 16, "method": "kernel"}, True),
        ({"positional": "none", "head_dim": 2, "method": "torch"}, False),
        ({"positional": "rotary", "head_dim": 16}, False),
        ({"positional": "rotary", "head_dim": 14, "form": "framewise"}, True),
        ({"positional": "none", "head_dim": 16, "window": 3}, True),
        ({"positional": "relative", "head_dim": 15, "image_size": 5}, True),
        ({"positional": "relative", "head_dim": 16, "image_size": 5}, False),
    ],
    ids=str,
)
def test_layers_follow_the_rule(options, kernel):
    """On a device without values, so that no kernel is built for each width of a head."""
    layer = GroupSelfAttention(point_group("C2"), 2, 4, 1, **options, device="meta")
    with Operators() as seen:
        layer(torch.zeros(1, 2, 2, 5, 5, device="meta"))
    assert ("gsa_core.attention.default" in seen.names) == kernel
