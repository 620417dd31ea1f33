"""The kernels in Triton without Triton: what is refused, the sizes of blocks, and memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from triton_interpreter import INSTALLED, MISSING

from gsa_core import GroupSelfAttention, point_group
from gsa_core.attention.backends import triton_attention
from gsa_core.attention.backends.registry import faster_method
from gsa_core.attention.backends.triton_operators import plan
from gsa_core.attention.encodings.tables import OffsetTables


@pytest.mark.parametrize(
    ("device", "dtype", "width", "interpreted", "installed", "said"),
    [
        ("cuda", torch.float32, 10, "", True, ""),
        ("cuda", torch.bfloat16, 128, "", True, ""),
        ("cuda", torch.float64, 10, "", True, ""),
        ("cuda", torch.float32, 10, "", False, "it needs triton, which is not installed"),
        ("cuda", torch.float32, 64, "", True, ""),
        ("cuda", torch.float32, 65, "", True, "up to 64 channels of torch.float32, not 65"),
        ("cuda", torch.bfloat16, 129, "", True, "up to 128 channels of torch.bfloat16, not 129"),
        ("cuda", torch.int32, 10, "", True, "floating-point numbers, not torch.int32"),
        ("cpu", torch.float32, 10, "", True, "it is for GPUs; on a CPU there is Triton's inter"),
        ("cpu", torch.float32, 10, "1", False, "it needs triton, which is not installed"),
        ("cpu", torch.float64, 10, "1", True, ""),
        ("mps", torch.float32, 10, "", True, "it is for GPUs, and the tensors are on mps"),
        ("meta", torch.float32, 300, "", False, ""),
    ],
)
def test_what_it_cannot_take_is_a_sentence(
    device, dtype, width, interpreted, installed, said, monkeypatch
):
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    find = lambda name: name if installed else None  # noqa: E731
    monkeypatch.setattr(triton_attention.importlib.util, "find_spec", find)
    found = triton_attention.problem(device, dtype, width)
    assert said in found
    assert bool(found) == bool(said)


def test_auto_does_not_take_it_before_it_was_measured():
    asked = {"local": True, "tables": OffsetTables(), "width": 10}
    assert faster_method("cuda", torch.float32, **asked) == "torch"


@pytest.mark.parametrize("reaches", [(0, 0), (1, 1), (2, 4), (27, 27)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (28, 28), (3, 200)])
def test_blocks_have_64_pixels(size, reaches):
    reaches = tuple(min(r, n - 1) for r, n in zip(reaches, size, strict=True))
    (rows, cols), (down, right) = plan(size, reaches)
    assert rows * cols == down * right == 64


def test_flat_images_have_flat_tiles():
    assert plan((1, 64), (0, 2))[0] == (1, 64)
    assert plan((64, 1), (2, 0))[0] == (64, 1)


class Largest(TorchDispatchMode):
    """The most elements of a tensor that an operator has made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves(made):
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.numel())
        return made


@pytest.mark.parametrize("form", ["joint", "framewise"])
@pytest.mark.parametrize("window", [3, 9, None])
def test_no_tensor_is_of_queries_and_keys(window, form):
    """Forward and backward, by shapes alone: none is larger than queries, keys and values."""
    side, heads, width = 28, 3, 10
    options = {"window": window, "head_dim": width, "form": form}
    if window is None:
        options["image_size"] = side
    layer = GroupSelfAttention(
        point_group("C4"), 8, 8, heads, **options, method="triton", device="meta"
    )
    x = torch.zeros(2, 8, 4, side, side, device="meta", requires_grad=True)
    with Largest() as seen:
        layer(x).sum().backward()
    reach = side - 1 if window is None else window // 2
    per_query = max(3 * width, 2 * reach + 1)  # a row of the encoding's scores
    assert seen.elements <= 2 * 4 * side**2 * heads * per_query


@pytest.mark.parametrize("form", ["joint", "framewise"])
def test_operations_are_counted_as_those_of_the_kernel(form):
    counts = []
    for method in ("kernel", "triton"):
        options = {"window": 5, "form": form, "method": method, "device": "meta"}
        layer = GroupSelfAttention(point_group("C4"), 8, 8, 2, **options)
        with FlopCounterMode(display=False) as counter:
            layer(torch.zeros(2, 8, 4, 9, 7, device="meta"))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.deep
@pytest.mark.skipif(not INSTALLED, reason=MISSING)
@pytest.mark.parametrize(
    "case",
    [
        "float32,10,square", "float32,10,soft_disc", "float32,64,square",
        "bfloat16,128,square", "float16,3,disc", "float64,32,square",
    ],
)  # fmt: skip
def test_kernels_compile_for_a_gpu_and_fit_on_its_chip(case, root):
    """The compiler needs no GPU; the interpreter accepts more than it does."""
    environment = {x: y for x, y in os.environ.items() if x != "TRITON_INTERPRET"}
    script = root / "tests" / "helpers" / "compile_triton.py"
    environment["PYTHONPATH"] = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, script, case], env=environment, capture_output=True, text=True, check=True
    )
    shared = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(shared) == 3
    assert max(shared) <= 227 * 1024  # of a block on an H100
