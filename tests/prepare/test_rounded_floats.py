"""Floats that rounding errors take outside 0 to 1 are clipped, and it is said; more is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_bytes import tiff
from images import own

from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.prepare.look import look
from pipeline.prepare.stage import prepare_all


def images(dtype: str, low: float, high: float) -> np.ndarray:
    """Forty grey images, of which the first reaches both values and the second the greater."""
    values = np.random.default_rng(0).random((40, 8, 8)).clip(0.1, 0.9).astype(dtype)
    values[0, 0, :2], values[1, 0, 0] = (low, high), high
    return values


def write(kind: str, values: np.ndarray, path: Path) -> Path:
    labels = np.arange(len(values)) % 2
    if kind == "arrays":
        path = path.with_suffix(".npz")
        np.savez(path, images=values, labels=labels)
        return path
    for number, (label, image) in enumerate(zip(labels, values, strict=True)):
        (path / "ab"[label]).mkdir(parents=True, exist_ok=True)
        (path / "ab"[label] / f"{number:02}.tif").write_bytes(tiff(image))
    return path


@pytest.mark.parametrize(
    ("kind", "dtype", "low", "high"),
    [
        ("arrays", "f4", -1e-7, 1 + 1e-6),
        ("arrays", "f8", -1e-16, 1 + 1e-12),
        ("arrays", "f2", 0, 1.001),  # the next number above 1
        ("folder", "f4", -1e-7, 1 + 1e-6),
    ],
)
def test_rounding_errors_are_clipped_and_said(
    kind: str, dtype: str, low: float, high: float, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    values = images(dtype, low, high)
    settings = own(write(kind, values, tmp_path / "in"), kind, channels=1, dtype="float32")
    prepare_all(settings, tmp_path / "out")
    said = "value_range: auto clipped 2 images of floats that rounding errors take outside 0 to 1"
    assert said in capfd.readouterr().out
    assert any(said in line for line in look("mine", settings, tmp_path / "look"))
    found = load_dataset(tmp_path / "out/mine", ("train", "validation", "test"))
    clipped = found.card["stored_values"]["auto"]["clipped"]
    assert clipped["images"] == 2 and 0 < clipped["outside_by"] < 2e-3
    splits = (found.train, found.validation, found.test)
    every = np.concatenate([split.images for split in splits if split])[:, 0]
    expected = values.clip(0, 1).astype(np.float32)
    assert sorted(map(bytes, every)) == sorted(map(bytes, expected))


@pytest.mark.parametrize(
    ("low", "high", "options"),
    [
        (0, 1.001, {}),
        (-0.01, 1, {}),
        (0, np.nan, {}),
        (0, 1 + 1e-6, {"value_range": [0, 1]}),  # declared: held to it
    ],
)
def test_more_than_a_rounding_error_is_refused_with_the_way_out(
    low: float, high: float, options: dict[str, object], tmp_path: Path
) -> None:
    path = write("arrays", images("f4", low, high), tmp_path / "in")
    with pytest.raises(UserError, match=r"which is not 0 to 1: declare .* value_range: \[low"):
        prepare_all(own(path, "arrays", channels=1, **options), tmp_path / "out")


def test_an_image_that_clipping_makes_constant_is_a_bad_image(tmp_path: Path) -> None:
    values = images("f4", 0, 1)
    values[3] = 1
    values[3, 0, 0] = 1 + 1e-6
    path = write("arrays", values, tmp_path / "in")
    with pytest.raises(UserError, match=r"images\[3\] is constant: every pixel is 1"):
        prepare_all(own(path, "arrays", channels=1), tmp_path / "out")
