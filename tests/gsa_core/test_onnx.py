"""Networks as ONNX files, which run without this library; programs are in `test_running`."""

from __future__ import annotations

import pytest
import torch
from cases import randomised

from gsa_core import act_on_image, build_model

CASES = {
    "relative, global": {"group": "D4", "tokens": "patch", "patch_size": 2},
    "window, qk_norm": {"group": "C4", "window": 3, "qk_norm": True},
    "convolutions": {"model": "gcnn", "group": "C4", "num_heads": None},
}


def built(name):
    options = {"image_size": 8, "channels": 4, "num_heads": 2, **CASES[name]}
    return randomised(build_model(**options)).float().eval()


def with_masks(count):
    """Images and masks, each of another size."""
    image, mask = torch.rand(count, 1, 8, 8), torch.ones(count, 8, 8, dtype=torch.bool)
    mask[0, 6:], mask[1, :, 4:] = False, False
    return image, mask


def test_a_network_is_exported_with_a_mask_as_input():
    """A value of the mask is not checked there: a program has no error for it."""
    model, batch = built("relative, global"), torch.export.Dim("batch", min=1, max=64)
    shapes = {"image": {0: batch}, "mask": {0: batch}}
    program = torch.export.export(model, with_masks(2), dynamic_shapes=shapes)
    given = with_masks(5)
    torch.testing.assert_close(program.module()(*given), model(*given), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="hides all of an image"):
        model(given[0], given[1] & False)


def test_an_onnx_file_takes_a_mask(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, path = built("relative, global"), tmp_path / "model.onnx"
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.onnx.export(
        model, with_masks(2), path, dynamo=True, external_data=False, verbose=False,
        input_names=["image", "mask"], output_names=["logits"],
        dynamic_shapes=({0: batch}, {0: batch}),
    )  # fmt: skip
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image, mask = with_masks(5)
    [logits] = session.run(None, {"image": image.numpy(), "mask": mask.numpy()})
    expected = model(image, mask).detach()
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_an_onnx_file_computes_the_same_for_other_batches(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = built(name)
    path = tmp_path / "model.onnx"
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.onnx.export(
        model, (torch.rand(2, 1, 8, 8),), path, dynamo=True, external_data=False, verbose=False,
        input_names=["image"], output_names=["logits"], dynamic_shapes=({0: batch},),
    )  # fmt: skip
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = torch.rand(5, 1, 8, 8)
    [logits] = session.run(None, {"image": image.numpy()})
    expected = model(image).detach()
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-4)
    [turned] = session.run(None, {"image": act_on_image(model.group, 1, image).numpy()})
    torch.testing.assert_close(torch.from_numpy(turned), expected, rtol=1e-3, atol=1e-4)
