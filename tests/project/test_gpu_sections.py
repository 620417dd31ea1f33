"""Sections of the benchmark of a GPU: they find what is wrong, and lack of memory is a row."""

from __future__ import annotations

import argparse
import ast
import json
import math
import sys

import numpy as np
import pytest
import torch
from gpu_modules import NAMES, ROOT, benchmark_modules, idx

from gsa_core import GroupSelfAttention
from gsa_core.attention.backends import sdpa as attend


@pytest.fixture(scope="module")
def modules():
    yield from benchmark_modules()


def wrong_frames(patch):
    """A layer that mixes up its frames: not equivariant."""
    real = GroupSelfAttention.forward
    patch.setattr(GroupSelfAttention, "forward", lambda self, x: real(self, x) * frames(self))


def frames(layer) -> torch.Tensor:
    return torch.arange(1.0, 1 + layer.group.order).view(-1, 1, 1)


def wrong_scale(patch):
    """Torch's attention with another scale: not the reference."""
    real = attend.functional.scaled_dot_product_attention
    patch.setattr(
        attend.functional, "scaled_dot_product_attention",
        lambda *x, scale, **options: real(*x, scale=scale * (1 + 1e-9), **options),
    )  # fmt: skip


def wrong_gradient(patch):
    """A layer whose values are right, and whose gradients are not, but for the reference."""
    real = GroupSelfAttention.forward

    def forward(self, x):
        if self.method == "torch":
            x = x * (1 + 1e-9) - x.detach() * 1e-9
        return real(self, x)

    patch.setattr(GroupSelfAttention, "forward", forward)


def raises(patch):
    """A layer that fails, as one whose tensors are on two devices."""

    def fail(self, x):
        raise RuntimeError("Expected all tensors to be on the same device")

    patch.setattr(GroupSelfAttention, "forward", fail)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("change", [wrong_frames, wrong_scale, wrong_gradient, raises])
def test_wrong_layer_is_found(change, modules, tmp_path, monkeypatch):
    correct, gpu = modules.gpu_correctness, modules.gpu
    monkeypatch.setattr(correct, "ENCODINGS", correct.ENCODINGS[:1])
    monkeypatch.setattr(correct, "MODELS", ())
    monkeypatch.setattr(correct, "CHECKS", {})
    monkeypatch.setattr(correct, "GROUPS", ("C4",))
    change(monkeypatch)
    arguments = ["--out", str(tmp_path), "--device", "cpu", "--quick", "--only", "correctness"]
    assert gpu.main(arguments) == gpu.WRONG
    [file] = tmp_path.iterdir()
    wrong = [row for row in json.loads(file.read_text())["rows"] if row.get("ok") is False]
    assert {row["check"] for row in wrong} >= {"joint, none", "framewise, none", "published, none"}
    assert all("C4" in row["where"] for row in wrong if row["check"].endswith(", none"))


@pytest.mark.parametrize("name", ["no images", "more than 65,535 streams", "no waiting in a step"])
def test_failing_check_is_a_row_and_the_next_goes_on(name, modules, monkeypatch):
    correct = modules.gpu_correctness

    def fail(device):
        raise ZeroDivisionError("integer modulo by zero")

    checks = dict.fromkeys(correct.CHECKS, lambda device: {"ok": True}) | {name: fail}
    monkeypatch.setattr(correct, "CHECKS", checks)
    monkeypatch.setattr(correct, "FORMS", ())
    monkeypatch.setattr(correct, "FLEX_CHECKS", {})
    monkeypatch.setattr(correct, "TRITON_CHECKS", [])
    monkeypatch.setattr(correct, "MODELS", ())
    asked = argparse.Namespace(device=torch.device("cpu"), quick=True)
    rows = {row["check"]: row for row in correct.correctness(asked)}
    assert list(rows) == list(checks)
    assert [row["check"] for row in rows.values() if not row["ok"]] == [name]
    assert rows[name]["where"] == "ZeroDivisionError: integer modulo by zero"


def test_what_is_built_elsewhere_is_found(modules, monkeypatch):
    """Built on `meta`, as on a GPU: nothing of it may lie on the CPU."""
    correct, meta = modules.gpu_correctness, torch.device("meta")
    assert correct.CHECKS["built on the device"](meta) == {"ok": True}
    monkeypatch.setattr(correct, "layer", lambda *x: torch.nn.Linear(1, 1, device="cpu"))
    with pytest.raises(AssertionError, match="weight of Linear: on cpu"):
        correct.CHECKS["built on the device"](meta)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 22.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_out_of_memory_is_a_row(error, modules):
    def make():
        raise error

    row = modules.gpu_layers.cost(make, torch.device("cpu"), 1, 1)
    assert row == {"ms": None, "out_of_memory": True}


def test_share_of_the_roofline(modules, monkeypatch):
    """A step that moves 3.35 GB at least in 2 ms on a card of 3.35 TB/s: half of it."""
    layers = modules.gpu_layers
    monkeypatch.setattr(layers, "bandwidth", lambda device: 3350)
    monkeypatch.setattr(layers, "median_milliseconds", lambda *x: 2.0)
    row = layers.cost(lambda: lambda: None, torch.device("cpu"), 3_350_000_000, 1)
    assert row["roofline"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("card", "rate"),
    [("NVIDIA H100 80GB HBM3", 3350), ("NVIDIA H100 PCIe", 2000), ("NVIDIA H200", 4800),
     ("NVIDIA L40S", 864), ("NVIDIA L4", 300), ("NVIDIA A100-SXM4-80GB", 2039), ("Other", None)],
)  # fmt: skip
def test_bandwidth_is_that_of_the_card(card, rate, modules, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card)
    assert modules.gpu_layers.bandwidth(torch.device("cuda")) == rate


PEER = """
import torch
class SE2(torch.nn.Module):
    def __init__(self, num_elements):
        super().__init__()
E2 = SE2
class Layer(torch.nn.Conv3d):
    def __init__(self, group, in_channels, mid_channels, out_channels, num_heads,
                 attention_dropout_rate, {size}):
        super().__init__(in_channels, out_channels, 1)
"""


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("broken", [False, True])
def test_published_code_is_imported_from_its_folder(window, broken, modules, tmp_path, monkeypatch):
    package = tmp_path / "g_selfatt"
    (package / "nn").mkdir(parents=True)
    (package / "__init__.py").write_text("import einops_of_nowhere" if broken else "")
    size, name = ("max_pos_embedding", "") if window is None else ("patch_size", "Local")
    code = PEER.format(size=size)
    (package / "groups.py").write_text(code)
    (package / "nn" / "__init__.py").write_text(f"{code}\nGroup{name}SelfAttention = Layer\n")
    for imported in [x for x in sys.modules if x.startswith("g_selfatt")]:
        monkeypatch.delitem(sys.modules, imported)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sizes = {"channels": 2, "heads": 1, "head_dim": 3, "batch": 1, "device": "cpu"}
    make = lambda: modules.gpu_layers.published_layer(tmp_path, "C4", window, 5, **sizes)  # noqa: E731
    row = modules.gpu_layers.cost(make, torch.device("cpu"), 1, 1)
    for imported in [x for x in sys.modules if x.startswith("g_selfatt")]:
        monkeypatch.delitem(sys.modules, imported)
    if broken:
        assert row == {"error": "ModuleNotFoundError: No module named 'einops_of_nowhere'"}
    else:
        assert row["ms"] > 0


@pytest.mark.parametrize("damage", ["missing", "cut short", "another type", "too few"])
def test_damaged_data_is_a_sentence(damage, modules, tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((5, 28, 28), np.uint8)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    file = tmp_path / "t10k-labels-idx1-ubyte"
    content = file.read_bytes()
    changed = {"cut short": content[:-1], "another type": content[:2] + b"\x0d" + content[3:]}
    file.write_bytes(changed.get(damage, content))
    if damage == "missing":
        file.unlink()
    said = {"missing": "is missing", "too few": "holds 10 images; 11 are needed"}
    with pytest.raises((ValueError, FileNotFoundError), match=said.get(damage, "no IDX file")):
        modules.gpu_digits.read_splits(tmp_path, (8, 2, 1), torch.device("cpu"))


def test_images_are_turned_by_their_angles(modules):
    images = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    turned = modules.gpu_digits.turned(images, torch.tensor([0.0, math.pi / 2]))
    assert torch.allclose(turned[0], images[0], atol=1e-5)
    assert torch.allclose(turned[1], images[1].rot90(1, (-2, -1)), atol=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "measurement_origin"])
def test_packages_that_a_bare_machine_has_are_enough(name):
    tree = ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text())
    found = {x.module for x in ast.walk(tree) if isinstance(x, ast.ImportFrom)}
    found |= {y.name for x in ast.walk(tree) if isinstance(x, ast.Import) for y in x.names}
    ours = {
        "gsa_core",
        "attention",
        "measurement_origin",
        "gpu_correctness",
        "gpu_layers",
        "gpu_digits",
    }
    ours |= {"gpu_flex", "gpu_models", "gpu_networks", "gpu_sharing", "gpu_training", "gpu_triton"}
    allowed = {"torch", "numpy", "g_selfatt"} | ours | set(sys.stdlib_module_names)
    assert {x.split(".")[0] for x in found} <= allowed
