"""Rectangles and images of any number of channels, from files and arrays to prepared splits."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from images import fill, own, picture
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.contact_sheet import class_examples
from pipeline.prepare.images.decode import decode
from pipeline.prepare.images.fit_to_square import Target, fit_array
from pipeline.prepare.sources import arrays
from pipeline.prepare.stage import prepare_all


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
@pytest.mark.parametrize("sides", [(6, 10), (10, 6), (5, 10), (10, 10)])
def test_a_rectangle_lies_in_the_middle_of_a_square(fit: str, sides: tuple[int, int]) -> None:
    values = picture(3, 2 * sides[0], 2 * sides[1])
    values = np.maximum(values, 1)  # zeros are around alone
    found = fit_array(values, Target(10, fit, 3, rectangle=sides))
    assert found.shape == (3, 10, 10)
    top, left = (10 - sides[0]) // 2, (10 - sides[1]) // 2
    inner = found[:, top : top + sides[0], left : left + sides[1]]
    assert inner.min() > 0 and np.count_nonzero(found) == inner.size
    whole = Image.fromarray(values).resize(sides[::-1], Image.Resampling.BILINEAR)
    assert np.abs(inner.transpose(1, 2, 0).astype(int) - np.asarray(whole)).max() <= 1


@pytest.mark.parametrize(
    ("fit", "rows", "columns"), [("crop", 6, 10), ("resize", 6, 10), ("pad", 6, 6)]
)
def test_other_proportions_are_fitted_to_the_rectangle(fit: str, rows: int, columns: int) -> None:
    found = fit_array(np.full((12, 12, 1), 9, np.uint8), Target(10, fit, 1, rectangle=(6, 10)))
    used = found[0] > 0
    assert (used.any(1).sum(), used.any(0).sum()) == (rows, columns)


def test_what_is_around_may_be_chosen() -> None:
    values = np.full((6, 10, 1), 9, np.uint8)
    found = fit_array(values, Target(10, "resize", 1, pad_value=200, rectangle=(6, 10)))
    assert np.unique(found[0, :2]).tolist() == [200] and np.unique(found[0, 2:8]).tolist() == [9]


@pytest.mark.parametrize(
    ("fit", "rectangle"), [("resize", (6, 10)), ("pad", (6, 10)), ("pad", None)]
)
def test_a_constant_image_is_bad_in_a_frame_too(
    fit: str, rectangle: tuple[int, int] | None
) -> None:
    buffer = io.BytesIO()
    Image.new("L", (20, 12), 9).save(buffer, "PNG")
    with pytest.raises(ValueError, match="is constant: every pixel is 9"):
        decode(buffer.getvalue(), Target(10, fit, 1, rectangle=rectangle))


def test_rectangles_are_prepared_and_said(tmp_path: Path) -> None:
    settings = own(fill(tmp_path / "pets", 8), size=(6, 10))
    prepare_all(settings, tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/mine", SPLITS, verify=True)
    assert data.card["image_shape"] == [3, 10, 10] and data.test is not None
    assert data.card["notes"] == [
        "images of 6x10 pixels are in the middle of squares of 10x10, so that quarter turns keep "
        "all of them"
    ]
    assert not data.test.images[:, :, :2].any() and data.test.images[:, :, 2:8].any()


@pytest.mark.parametrize("place", ["last", "second"])
@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_arrays_of_any_number_of_channels(channels: int, place: str, tmp_path: Path) -> None:
    given = np.random.default_rng(0).integers(0, 256, (40, 8, 8, channels)).astype("u1")
    expected = given.transpose(0, 3, 1, 2)
    images = given if place == "last" else expected
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(40) % 2)
    prepare_all(own(tmp_path / "a.npz", "arrays", channels=channels), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/mine", SPLITS, verify=True)
    assert data.in_channels == channels == len(data.card["mean"]) and data.test is not None
    known = {image.tobytes() for image in expected}
    assert {image.tobytes() for image in data.test.images} <= known


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((4, 8, 8, 5), 3, "has the shape (4, 8, 8, 5)"),
        ((4, 8, 8), 5, "has 1 channels (shape (4, 8, 8)), but channels says 5"),
        ((4, 8, 8, 3), 4, "has 3 channels (shape (4, 8, 8, 3)), but channels says 4: set channels"),
    ],
)
def test_other_numbers_of_channels_are_refused(
    shape: tuple[int, ...], channels: int, words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros(shape, np.uint8), labels=[0, 1, 0, 1])
    target = Target(8, "resize", channels)
    with pytest.raises(UserError) as error:
        arrays.read(tmp_path / "a.npz", target, splits=None, min_count=1, skip=False)
    assert words in str(error.value) and "set channels" in str(error.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_images_of_any_number_of_channels_are_drawn(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 8, 8)).astype("u1")
    drawn = np.asarray(Image.open(io.BytesIO(class_examples("x", [image], ["a"]))).convert("RGB"))
    coloured = np.ptp(drawn.astype(int), axis=-1) > 8
    assert coloured.mean() > 0.1 if channels >= 3 else len(np.unique(drawn)) > 40
