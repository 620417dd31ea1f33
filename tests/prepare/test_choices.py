"""What is chosen for a whole data set, what is skipped, and what is said of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_bytes import png16, tiff
from images import fill, own, picture, prepared, refusal
from PIL import Image

from pipeline.prepare import stage as prepare

SIDE = 8


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of so small a preparation."""
    monkeypatch.setattr(prepare, "write_pictures", lambda *_: None)


def grey(seed: int) -> np.ndarray:
    """Grey pixels from 0 to 255, both among them."""
    pixels = picture(seed, SIDE, SIDE, 1).copy()
    pixels[0, :2] = 0, 255
    return pixels


def write(folder: Path, kind: str, top: int, count: int = 12) -> Path:
    """Images of two classes whose values go from 0 to `top`, as 8 bits would have them."""
    values = [(grey(seed).astype(np.float64) * top / 255).round() for seed in range(2 * count)]
    if kind in ("npz", "npy"):
        folder.mkdir()
        arrays = {"images": np.stack(values).astype(np.int32), "labels": np.arange(2 * count) % 2}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        if kind == "npz":
            np.savez(folder / "all.npz", **arrays)  # type: ignore[arg-type]
        return folder / "all.npz" if kind == "npz" else folder
    for number, value in enumerate(values):
        path = folder / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        wide = value.astype(np.uint32 if kind == "tiff32" else np.uint16)
        if kind.startswith("tiff"):
            path.write_bytes(tiff(wide, order=">" if kind == "tiff" else "<"))
        else:
            path.write_bytes(png16(np.stack([wide] * (3 if kind == "colour" else 1), axis=2)))
    return folder


@pytest.mark.parametrize("kind", ["png", "colour", "tiff", "tiff32", "npz", "npy"])
@pytest.mark.parametrize("top", [255, 4095])
def test_auto_finds_the_white_of_all_images(
    kind: str, top: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", kind, top)
    settings = own(folder, "arrays" if kind[:2] == "np" else "folder", channels=1, size=SIDE)
    data = prepared(settings, tmp_path)
    found = {image.tobytes() for split in (data.train, data.validation, data.test)  # type: ignore[union-attr]
             for image in split.images}  # fmt: skip
    assert found == {grey(seed).tobytes() for seed in range(24)}
    chosen = data.card["stored_values"]["auto"]["value_range"]
    assert chosen == {"chosen": [0, top], "largest": top}
    assert f"auto chose 0 to {top} for images of more than 8 bits" in capsys.readouterr().out


def test_auto_looks_at_train_and_test_alike(tmp_path: Path) -> None:
    """One value of the test decides for training too."""
    write(tmp_path / "set/train", "png", 1023)
    write(tmp_path / "set/test", "png", 1023)
    path = tmp_path / "set/test/a/000.png"
    path.write_bytes(png16(np.arange(64).reshape(8, 8, 1) * 65))  # up to 4095
    options = {"channels": 1, "size": SIDE, "splits": "given", "dtype": "float32"}
    settings = own(tmp_path / "set", **options).model_copy(update={"allow_leaks": True})
    data = prepared(settings, tmp_path)
    assert data.train.images.max() == np.float32(1023 / 4095)


def test_type_divides_by_the_type_and_small_values_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", "png", 4095)
    settings = own(folder, channels=1, size=SIDE, value_range="type")
    data = prepared(settings, tmp_path)
    assert data.train.images.max() == 16 and "auto" not in data.card["stored_values"]["auto"]
    assert "the largest value of the training images is 16 of 255" in capsys.readouterr().out


def test_images_of_8_bits_are_not_looked_at_and_not_stretched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "set", 8)
    monkeypatch.setattr("pipeline.prepare.sources.image_files.inspect_file", None)
    assert prepared(own(tmp_path / "set"), tmp_path).card["stored_values"]["auto"] == {}


def test_a_value_outside_the_declared_range_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "png", 4095)
    problem = refusal(own(folder, channels=1, value_range=[0, 4000]), tmp_path)
    assert problem.startswith(f"{folder}/") and "to 4095, which is not 0 to 4000" in problem
    settings = own(folder, channels=1, value_range=[0, 4095], size=SIDE)
    assert prepared(settings, tmp_path).train.images.max() == 255


def test_an_interrupted_reading_goes_on_with_the_same_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "set", "png", 4095)
    settings = own(folder, channels=1, size=SIDE)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "make_splits", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare.prepare_all(settings, tmp_path / "prepare")
        patch.setattr("pipeline.prepare.sources.image_files.inspect_file", None)
        patch.setattr("pipeline.prepare.sources.image_files.decode", None)
        patch.undo()
    card = prepared(settings, tmp_path).card
    assert card["stored_values"]["auto"]["value_range"]["chosen"] == [0, 4095]


def drawings(folder: Path, ink: int = 0, count: int = 8) -> Path:
    for number in range(2 * count):
        alpha = (picture(number, SIDE, SIDE, 1) > 128).astype(np.uint8) * 255
        pixels = np.dstack([np.full_like(alpha, ink)] * 3 + [alpha])
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.mark.parametrize(
    ("ink", "background", "ground", "chosen"),
    [(0, "auto", 255, "white"), (200, "auto", 0, "black"), (200, "white", 255, None)],
)
def test_drawings_get_a_ground_on_which_they_are_seen(
    ink: int, background: str, ground: int, chosen: str | None, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = drawings(tmp_path / "set", ink)
    data = prepared(own(folder, channels=1, size=SIDE, background=background), tmp_path)
    assert set(np.unique(data.train.images)) == {ink, ground}
    auto = data.card["stored_values"]["auto"]
    assert auto.get("background", {}).get("chosen") == chosen
    said = f"background: auto chose {chosen} for 16 images with transparent parts"
    assert (said in capsys.readouterr().out) == (chosen is not None)


@pytest.mark.parametrize(
    ("level", "declared", "entering"),
    [
        (0, "auto", 0),
        (250, "auto", 1),
        (200, "auto", "edge"),
        (200, "white", 1),
        (200, "black", 0),
    ],
)
def test_turned_images_are_filled_with_what_borders_show(
    level: int, declared: str, entering: float | str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As on stained slides: cells on a bright ground must not get black corners."""
    folder = tmp_path / "set"
    for number in range(24):
        pixels = np.full((SIDE, SIDE, 3), level, dtype=np.uint8)
        pixels[2:-2, 2:-2] = picture(number, SIDE - 4, SIDE - 4, 3)
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    data = prepared(own(folder, channels=3, size=SIDE, background=declared), tmp_path)
    assert data.background == entering
    said = {0: "zero", 1: "1 from black (0) to white (1)", "edge": "the nearest pixel"}
    assert f"what enters turned images: {said[entering]}\n" in capsys.readouterr().out
    corners = data.test_turned.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    wanted = level if entering == "edge" else round(255 * entering)
    assert np.abs(corners.astype(int) - wanted).max() <= abs(level - wanted)
    assert entering != "edge" or (corners == level).all()


def test_most_drawings_decide_for_all(tmp_path: Path) -> None:
    drawings(tmp_path / "set")
    alpha = (picture(900, SIDE, SIDE, 1) > 128).astype(np.uint8) * 255
    Image.fromarray(np.dstack([np.full_like(alpha, 200)] * 3 + [alpha])).save(
        tmp_path / "set/a/red.png"
    )
    card = prepared(own(tmp_path / "set", channels=1, size=SIDE), tmp_path).card
    found = card["stored_values"]["auto"]["background"]
    assert found == {"chosen": "white", "transparent_images": 17, "of_black_ink": 16}


def spoil(folder: Path, name: str) -> None:
    for path in (folder / name).iterdir():
        path.write_bytes(b"broken")


@pytest.mark.parametrize("splits", ["made", "given"])
def test_a_class_of_which_nothing_is_left_is_named(splits: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets", 8, ["ant", "bee", "cat"])
    if splits == "given":
        for number, split in enumerate(("train", "test")):
            fill(tmp_path / "given" / split, 8, ["ant", "bee", "cat"], first=100 * number)
        folder = tmp_path / "given"
    spoil(folder, "cat" if splits == "made" else "test/cat")
    problem = refusal(own(folder, on_bad_image="skip", splits=splits), tmp_path)
    where = "" if splits == "made" else " in test"
    assert f"none of the 8 images of the class 'cat'{where} can be used; the first, " in problem
    assert "is not a PNG" in problem


@pytest.mark.parametrize("kind", ["folder", "arrays", "parquet"])
def test_no_image_that_can_be_used_is_one_sentence(kind: str, tmp_path: Path) -> None:
    if kind == "folder":
        path = fill(tmp_path / "set", 6)
        spoil(path, "cat")
        spoil(path, "dog")
    elif kind == "arrays":
        path = tmp_path / "set.npz"
        np.savez(path, images=np.full((12, 8, 8), 7, np.uint8), labels=np.arange(12) % 2)
    else:
        path = tmp_path / "set.parquet"
        pq.write_table(pa.table({"image": [b"GIF89a"] * 12, "label": [0, 1] * 6}), path)
    problem = refusal(own(path, kind, on_bad_image="skip"), tmp_path)
    assert problem.startswith("mine: none of its 12 images can be used; the first, ")


def test_what_was_skipped_is_said_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path / "pets", 12)
    for name in ("cat/001.png", "cat/002.png", "dog/003.png", "dog/004.png"):
        (folder / name).write_bytes(b"GIF89a")
    skipped = prepared(own(folder, on_bad_image="skip"), tmp_path).card["skipped"]
    assert skipped["count"] == 4 and skipped["classes"] == {"cat": 2, "dog": 2}
    assert len(skipped["images"]) == 4
    out = capsys.readouterr().out
    assert "skipped 4 bad images of 24 (cat 2, dog 2): " in out
    assert "cat/001.png: is a GIF: convert it" in out and "and 1 more" in out


def test_equal_images_with_different_labels_are_counted_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path / "pets", 12, ["ant", "bee", "cat"])
    data = (folder / "ant/000.png").read_bytes()
    for name in ("bee/copy.png", "ant/copy.png"):
        (folder / name).write_bytes(data)
    (folder / "cat/copy.png").write_bytes((folder / "cat/001.png").read_bytes())
    card = prepared(own(folder), tmp_path).card
    assert card["duplicates"]["images"] == 3
    assert card["equal_with_other_labels"] == {"images": 3, "classes": {"ant, bee": 3}}
    said = "3 images are equal to an image with another label (ant, bee: 3)"
    assert said in capsys.readouterr().out
    json.dumps(card)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"value_range": "full"}, "value_range"),
        ({"value_range": [5, 5]}, "value_range"),
        ({"pad_value": 256}, "pad_value"),
        ({"background": "grey"}, "background"),
    ],
)
def test_a_wrong_choice_is_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        own(tmp_path, **options)
