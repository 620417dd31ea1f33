"""Networks compiled, exported, in low precision, saved, timed at import: the same networks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from cases import randomised
from compile_networks import compiled, exported
from running_cases import CONFIGURATIONS, network
from safetensors.torch import load_file, save_file
from torch.nn import functional

from gsa_core import GroupSelfAttention, build_model, point_group
from gsa_core.attention.backends.sdpa import attend

KINDS = ("framewise on a stem", "continuous", "published", "staged")


def lines(root, script, *names):
    """Run a script of this folder; return the lines that it prints."""
    paths = os.pathsep.join([str(root), str(root / "tests/helpers")])
    run = subprocess.run(
        [sys.executable, f"tests/gsa_core/{script}.py", *names],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_networks_compile_into_one_graph_and_export_with_a_dynamic_batch(root, pytestconfig):
    """Without graph breaks, without compiling again for the same shape; `--full` does all.

    Otherwise the default network is compiled, and one of its layers exported.
    """
    if not pytestconfig.getoption("--full"):  # this process checks no shapes
        model, images = network("framewise on a stem", shallow=True)
        assert compiled(model.eval(), images) == (1, True)
        layer = GroupSelfAttention(point_group("C4"), 8, 8, 2).eval()
        assert exported(layer, torch.randn(3, 8, 4, 3, 3))
        return
    found = lines(root, "compile_networks", *CONFIGURATIONS)
    assert found == [f"{name}; 1; True; True" for name in CONFIGURATIONS]


def test_stated_shapes_are_those_of_every_network(root, pytestconfig):
    """Of some kinds; with `--full` of all, and in every test of this process, too."""
    names = CONFIGURATIONS if pytestconfig.getoption("--full") else KINDS
    assert lines(root, "check_shapes", *names) == [*names, "a wrong type is noticed"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_trains_under_bf16_autocast(name):
    """Losses fall and nothing stops being a number, with a schedule that warms up."""
    model, images = network(name)
    labels = torch.tensor([0, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=8)
    losses = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_weights_are_saved_and_read(name, tmp_path):
    model, images = network(name)
    keys = set(model.train().state_dict())
    assert keys == set(model.eval().state_dict())
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = randomised(network(name)[0]).float()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(model(images), other(images))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("bias", [None, torch.eye(5) < 1, torch.eye(5)], ids=["", "mask", "bias"])
def test_a_trace_with_gradients_is_saved(bias, tmp_path):
    """It holds operators of torch alone."""
    tokens = torch.randn(1, 2, 5, 4, requires_grad=True)

    def function(tokens):
        return attend(tokens, tokens, tokens, bias, 0.5)

    torch.jit.trace(function, tokens).save(str(tmp_path / "x.pt"))
    read = torch.jit.load(tmp_path / "x.pt")
    assert torch.allclose(read(tokens), function(tokens), atol=1e-6)
    assert torch.autograd.grad(read(tokens).sum(), tokens)


def test_dropout_is_the_same_under_a_seed():
    model = build_model(image_size=8, dropout=0.2, attention_dropout=0.2).train()
    images = torch.randn(2, 1, 8, 8)

    def run(seed):
        torch.manual_seed(seed)
        return model(images)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
