"""Layouts of other libraries, ONNX, and kernels built ahead."""

from __future__ import annotations

import pytest
import torch
from cases import randomised
from torch import nn

from gsa_core import (
    act_on_features,
    build_kernel,
    build_model,
    check_equivariance,
    dihedral_group,
    from_escnn_order,
    point_group,
    to_escnn_order,
)


@pytest.mark.parametrize("name", ["C4", "D4", "C8"])
def test_layouts_are_each_others_inverse(name, noise):
    group = point_group(name)
    features = noise(2, 3, group.order, 4, 4)
    assert torch.equal(from_escnn_order(to_escnn_order(features), group), features)
    with pytest.raises(ValueError, match="tensor: got 25 channels; accepts a multiple of"):
        from_escnn_order(noise(2, 25, 4, 4), dihedral_group(4))


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_the_layout_turns_as_regular_fields_do(name, noise):
    """A rotation shifts the channels of a field cyclically among rotations."""
    features = noise(1, 2, point_group(name).order, 3, 3)
    moved = to_escnn_order(act_on_features(point_group(name), 1, features))
    expected = to_escnn_order(features).rot90(1, (-2, -1)).unflatten(1, (2, -1))
    parts = expected.split(4, 2)  # rotations, and rotations after the mirror
    assert torch.equal(moved.unflatten(1, (2, -1)), torch.cat([x.roll(1, 2) for x in parts], 2))

    class InThatLayout(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = randomised(build_model(group=name, channels=4, image_size=8))

        def forward(self, image):
            return to_escnn_order(self.model.forward_features(image))

    assert check_equivariance(InThatLayout(), noise(1, 1, 8, 8), name).equivariant


def test_onnx_gives_the_same(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, images = build_model(channels=4, image_size=8).eval(), torch.rand(2, 1, 8, 8)
    torch.onnx.export(model, (images,), tmp_path / "model.onnx", dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert torch.allclose(torch.from_numpy(found), model(images), atol=1e-5)


def test_a_network_is_tuned_frozen_and_then_whole():
    """As docs/library.md has it."""
    torch.manual_seed(0)
    images, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
    model = build_model(channels=4, image_size=8)
    model.reset_classifier(2)
    model.requires_grad_(False).get_classifier().requires_grad_(True)
    before = {name: x.detach().clone() for name, x in model.named_parameters()}
    optimiser = torch.optim.AdamW([x for x in model.parameters() if x.requires_grad], 0.1)
    nn.functional.cross_entropy(model(images), labels).backward()
    optimiser.step()
    changed = {n for n, x in model.named_parameters() if not torch.equal(before[n], x)}
    assert changed == {"head.classify.weight", "head.classify.bias"}


def test_kernels_are_built_ahead_or_named(built_kernel, machine, monkeypatch):
    (file,) = build_kernel(5, dtype=torch.float64).values()
    assert file.is_file() and file.suffix == ".so"
    default = build_model().config
    assert list(build_kernel(dtype=torch.float64)) == [default["channels"] // default["num_heads"]]
    monkeypatch.setenv("GSA_CORE_KERNEL", "off")
    with pytest.raises(OSError, match="GSA_CORE_KERNEL is off"):
        build_kernel(7, dtype=torch.float64)
    with pytest.raises(ValueError, match="head_dims: got 0"):
        build_kernel(0)
