"""Your own images: folders, arrays, Parquet; what is wrong with them is said in one sentence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import CLASSES, fill, own, picture, prepared, refusal
from PIL import Image

from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.images.fit_to_square import Target, fit_array
from pipeline.prepare.stage import prepare_all


def test_a_folder_of_mixed_images(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets")
    Image.fromarray(picture(900, 40, 30)).save(folder / "cat/photo.JPG", quality=95)
    Image.fromarray(picture(901, 9, 9, 1)).save(folder / "dog/grey.bmp")
    (folder / "dog/deeper").mkdir()
    Image.fromarray(picture(902)).save(folder / "dog/deeper/page.tiff")
    (folder / "dog/.hidden.png").write_bytes(b"")
    (folder / "cat/notes.txt").write_text("not an image")
    Image.fromarray(picture(903)).save(folder / "loose.png")
    data = prepared(own(folder), tmp_path)
    assert sum(len(getattr(data, name)) for name in SPLITS[:3]) == 43
    assert (data.in_channels, data.image_size, data.num_classes) == (3, 8, 2)
    card = data.card
    assert card["class_names"] == list(CLASSES) and card["fit"] == "resize"
    assert card["sizes_before"] == {"height": [9, 40], "width": [9, 30]}
    hidden = {"hidden files, thumbnails and files of the system": 1}
    assert card["files_left_out"] == {".txt": 1, "images outside a class": 1, **hidden}
    assert card["source"] == "pets" and str(tmp_path) not in json.dumps(card)
    assert set(card["files"]) >= {"samples.png", "class_means.png"}


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ["Übung 猫", "<script>b", "$x^", "a\nb", "עִבְרִית"]
    folder = fill(tmp_path / "odd", 6, names)
    strange = os.fsdecode(b"\xff\xfe.png")
    shutil.copy(folder / names[0] / "000.png", tmp_path / "copy.png")
    Image.fromarray(picture(77)).save(tmp_path / "other.png")
    try:
        shutil.move(tmp_path / "other.png", folder / names[0] / strange)
    except OSError:
        pytest.skip("this file system takes no such names")
    data = prepared(own(folder), tmp_path)
    assert set(data.card["class_names"]) == {name.replace("\n", "\\x0a") for name in names}


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "Val", "test")):
        fill(tmp_path / "pets" / split, 8, first=100 * number)
    data = prepared(own(tmp_path / "pets", splits="given"), tmp_path)
    assert [len(getattr(data, name)) for name in SPLITS[:3]] == [16, 16, 16]
    assert "like splits, not classes: set splits: given" in refusal(
        own(tmp_path / "pets"), tmp_path / "other"
    )


def test_a_leak_between_given_splits(tmp_path: Path) -> None:
    fill(tmp_path / "pets/train", 20)
    fill(tmp_path / "pets/test", 8, first=100)
    shutil.copy(tmp_path / "pets/train/cat/003.png", tmp_path / "pets/test/cat/copy.png")
    almost = np.array(Image.open(tmp_path / "pets/train/dog/004.png"))
    almost[0, 0] ^= 3
    Image.fromarray(almost).save(tmp_path / "pets/test/dog/almost.png")
    settings = own(tmp_path / "pets", splits="given", size=12)
    assert "holds 1 images that are also in" in refusal(settings, tmp_path)
    allowed = settings.model_copy(update={"allow_leaks": True})
    card = prepared(allowed, tmp_path).card
    exact, near = card["duplicates"], card["near_duplicates"]
    assert exact["test_in_train"] + exact["test_in_validation"] == 1
    assert near["test_in_train"] + near["test_in_validation"] == 1


def test_a_group_stays_in_one_split(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    for slide in range(12):
        fill(folder, 4, first=10 * slide)
    settings = own(folder, group_pattern=r"^(\d\d)")
    data = prepared(settings, tmp_path)
    assert data.card["groups"] is True
    # The pixels tell the slide again, by the seed they were drawn with.
    target = Target(8, "resize", 3)
    slide_of = {
        fit_array(picture(10_000 * label + 10 * slide + number), target).tobytes(): slide
        for label in range(2) for slide in range(12) for number in range(4)
    }  # fmt: skip
    owners = [
        {slide_of[image.tobytes()] for image in getattr(data, name).images} for name in SPLITS[:3]
    ]
    assert sum(map(len, owners)) == 12 == len(set.union(*owners))
    bad = own(folder, group_pattern="slide-(.*)")
    assert "group_pattern 'slide-(.*)' is not found in '000.png'" in refusal(
        bad, tmp_path / "other"
    )


def test_low_data_and_small_classes(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets")
    fill(folder, 3, ["rare"], first=500)
    settings = own(folder, min_count=5)
    whole = prepared(settings, tmp_path)
    assert whole.card["classes_left_out"] == {"rare": 3}
    few = prepared(settings.model_copy(update={"images_per_class": 4}), tmp_path / "few")
    half = prepared(settings.model_copy(update={"train_fraction": 0.5}), tmp_path / "half")
    assert few.card["counts"]["train"]["classes"] == [4, 4]
    pixels = [{image.tobytes() for image in data.train.images} for data in (few, half, whole)]
    assert pixels[0] < pixels[1] < pixels[2]
    np.testing.assert_array_equal(few.test.images, whole.test.images)
    assert few.card["mean"] != whole.card["mean"]  # of what is trained on
    prepare_all(settings.model_copy(update={"datasets": ("mine-4",)}), tmp_path / "sized")
    sized = load_dataset(tmp_path / "sized/mine-4", SPLITS, verify=True)
    np.testing.assert_array_equal(sized.train.images, few.train.images)
    np.testing.assert_array_equal(sized.test.images, whole.test.images)
    assert (sized.card["name"], sized.card["images_per_class"]) == ("mine-4", 4)


def damage(folder: Path, kind: str) -> None:
    path = folder / "cat/bad.png"
    if kind == "cut":
        path.write_bytes((folder / "cat/000.png").read_bytes()[:50])
    elif kind == "constant":
        Image.new("RGB", (9, 9), (7, 7, 7)).save(path)
    elif kind == "web page":
        path.write_text("<html>")
    else:
        frames = [Image.fromarray(picture(seed)) for seed in range(2)]
        frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("kind", ["cut", "constant", "web page", "animated"])
def test_a_bad_image_ends_the_preparation_or_is_listed(kind: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets")
    damage(folder, kind)
    problem = refusal(own(folder), tmp_path)
    assert problem.startswith(f"{folder / 'cat/bad.png'}: ")
    assert problem.endswith("fix or remove it, or set on_bad_image: skip")
    card = prepared(own(folder, on_bad_image="skip"), tmp_path).card
    assert sum(card["counts"][name]["total"] for name in SPLITS[:3]) == 40
    assert card["skipped"]["count"] == 1 and "cat/bad.png" in card["skipped"]["images"][0]


def test_folders_that_are_none(tmp_path: Path) -> None:
    for kind, what in (("folder", "folder"), ("arrays", "file or folder"), ("parquet", "file or")):
        problem = refusal(own(tmp_path / "none", kind), tmp_path)
        assert f"none: there is no such {what}" in problem
        assert problem.endswith("bring the images there, or correct the path in prepare.sources")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refusal(own(tmp_path / "empty"), tmp_path)
    fill(tmp_path / "one", 5, ["only"])
    assert "needs two classes or more, but found only (5)" in refusal(
        own(tmp_path / "one"), tmp_path
    )
    fill(tmp_path / "few", 2)
    assert "class 'cat' has 2 images, too few for test, validation" in refusal(
        own(tmp_path / "few"), tmp_path
    )
    fill(tmp_path / "link", 9)
    (tmp_path / "link/cat/round").symlink_to(tmp_path / "link")
    assert "cat/round: is a link to a folder" in refusal(own(tmp_path / "link"), tmp_path)


def arrays(count: int, **options: Any) -> dict[str, np.ndarray]:
    images = np.stack([picture(seed, **options) for seed in range(count)])
    return {"images": images, "labels": np.arange(count) % 2}


BLUE = np.broadcast_to(np.array([9, 9, 99], np.uint8), (40, 8, 8, 3))


def test_arrays_in_one_file_or_several(tmp_path: Path) -> None:
    given = arrays(40)
    np.savez(tmp_path / "all.npz", **given)
    (tmp_path / "all").mkdir()
    for name, array in given.items():
        np.save(tmp_path / "all" / f"{name}.npy", array)
    one = prepared(own(tmp_path / "all.npz", "arrays"), tmp_path / "a")
    other = prepared(own(tmp_path / "all", "arrays"), tmp_path / "b")
    np.testing.assert_array_equal(one.test.images, other.test.images)
    assert one.card["counts"] == other.card["counts"]


def test_arrays_with_given_splits_channels_and_words(tmp_path: Path) -> None:
    given = arrays(60, height=8, width=8)
    names = np.array(["no", "yes"])[given["labels"]]
    float_images = (given["images"].transpose(0, 3, 1, 2) / 255).astype(np.float64)
    np.savez(
        tmp_path / "set.npz",
        train_images=float_images[:40], train_labels=names[:40, None],
        val_images=float_images[40:50], val_labels=names[40:50, None],
        test_images=float_images[50:], test_labels=names[50:, None],
    )  # fmt: skip
    data = prepared(own(tmp_path / "set.npz", "arrays", splits="given"), tmp_path)
    expected = given["images"][50:].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.test.images, expected)
    assert data.card["class_names"] == ["no", "yes"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.arange(39) % 2}, "labels has the shape (39,) for 40 images"),
        ({"labels": np.arange(40) % 2 - 1}, "labels holds -1"),
        (
            {"labels": np.arange(40) / 2},
            "labels: row 1 holds 0.5: numbers to predict are out of scope",
        ),
        ({"labels": np.zeros(40, int)}, "needs two classes or more"),
        ({"labels": None}, "has no labels"),
        ({"images": None}, "needs images and labels, but holds labels"),
        ({"images": np.zeros((40, 8))}, "images has the shape (40, 8)"),
        ({"images": np.zeros((40, 8, 8, 5), np.uint8)}, "has the shape (40, 8, 8, 5)"),
        ({"images": np.zeros((40, 8, 8), complex)}, "images holds complex128"),
        ({"images": np.full((40, 8, 8), np.nan)}, "images[0] has values from nan to nan"),
        ({"images": np.full((40, 8, 8), 255.0)}, "images[0] has values from 255 to 255"),
        ({"images": np.full((40, 8, 8), 9, np.uint8)}, "images[0] is constant"),
        ({"images": BLUE}, "images[0] is constant: every pixel is (9, 9, 99)"),
        ({"images": BLUE.transpose(0, 3, 1, 2)}, "images[0] is constant: every pixel is (9, 9, 99"),
        ({"images": np.array([object()] * 40)}, "images is not a plain array"),
    ],
)
def test_arrays_that_are_wrong(
    change: dict[str, np.ndarray | None], words: str, tmp_path: Path
) -> None:
    given = {k: v for k, v in {**arrays(40), **change}.items() if v is not None}
    np.savez(tmp_path / "a.npz", **given)  # type: ignore[arg-type]
    problem = refusal(own(tmp_path / "a.npz", "arrays"), tmp_path)
    assert (words in problem and "a.npz" in problem) or "a:" in problem or "two classes" in problem


def test_what_is_no_npz_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"<html>")
    assert "a.npz: is no npz file" in refusal(own(tmp_path / "a.npz", "arrays"), tmp_path)
    assert "there is no such file" in refusal(own(tmp_path / "b.npz", "arrays"), tmp_path)
