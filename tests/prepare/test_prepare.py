"""Stage 1 on the real digits: what it writes, that it repeats, and that damage is noticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_study
import numpy as np
import pytest
import yaml

from pipeline.common.errors import UserError
from pipeline.common.files import file_sha256
from pipeline.dataset import Dataset, load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.dataset.turning import shrink, turn
from pipeline.execution import stage_inputs
from pipeline.execution.engine import InProcess
from pipeline.prepare import stage as prepare
from pipeline.study.schema import Prepare
from pipeline.sweep import stage as sweep

SETTINGS = Prepare(
    datasets=("digits",), seed=3, validation_fraction=0.15, test_fraction=0.25, symmetry_test=False
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "prepare"
    prepare.prepare_all(SETTINGS, path)
    return path


@pytest.fixture(scope="module")
def digits(output: Path) -> Dataset:
    return load_dataset(output / "digits", SPLITS, verify=True)


@pytest.fixture
def copy(output: Path, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return Path(shutil.copytree(output / "digits", tmp_path / "digits"))


def test_every_digit_is_in_one_split(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    splits = [digits.train, digits.validation, digits.test]
    found = np.concatenate([split.images for split in splits]).reshape(-1, 64) * 16
    given = load_digits().data.astype(np.float32)
    assert len(found) == 1797 and len(np.unique(found, axis=0)) == 1797
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(given, axis=0))
    assert len(digits.test) == pytest.approx(0.25 * 1797, abs=5)
    assert len(digits.validation) == pytest.approx(0.15 * 1797, abs=5)


def test_labels_stayed_with_their_images(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    keys = [image.astype(np.float32).tobytes() for image in images]
    label_of = dict(zip(keys, labels, strict=True))
    for split in (digits.train, digits.validation, digits.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label_of[(image * 16).tobytes()] == label


def test_classes_have_the_same_share_of_every_split(digits: Dataset) -> None:
    for split in (digits.train, digits.validation, digits.test):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert shares == pytest.approx(np.full(10, 0.1), abs=0.005)


def test_what_training_asks_of_a_data_set(digits: Dataset) -> None:
    assert (digits.name, digits.in_channels, digits.image_size, digits.num_classes) == (
        "digits", 1, 8, 10,
    )  # fmt: skip
    assert digits.train.images.dtype == np.float32
    assert isinstance(digits.train.images, np.memmap) and not digits.train.images.flags.writeable
    assert digits.mean == pytest.approx(digits.train.images.mean(), abs=1e-6)
    assert digits.std == pytest.approx(digits.train.images.std(), abs=1e-6)


def test_the_turned_test_is_the_test_turned_by_the_angles_on_file(
    digits: Dataset, output: Path
) -> None:
    degrees = np.load(output / "digits/test_angles.npy")
    assert degrees.min() < 10 and degrees.max() > 350 and len(np.unique(degrees)) == len(degrees)
    expected = turn(np.array(digits.test.images), degrees)
    np.testing.assert_array_equal(digits.test_turned.images, expected)
    np.testing.assert_array_equal(digits.test_turned.labels, digits.test.labels)
    upright, turned = digits.test.images.mean(), digits.test_turned.images.mean()
    assert 0.8 * upright < turned < upright  # some ink leaves the square, none is made


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("size", [8, 9])
def test_a_quarter_turn_goes_the_way_of_rot90(dtype: type, size: int) -> None:
    images = np.random.default_rng(0).uniform(0, 1, (3, 2, size, size))
    images = (images * 255).astype(dtype) if dtype is np.uint8 else images.astype(dtype)
    turned = turn(images, np.array([0.0, 90.0, 180.0]))
    assert turned.dtype == dtype
    for quarters in range(3):
        expected = np.rot90(images[quarters], quarters, (-2, -1))
        np.testing.assert_allclose(turned[quarters], expected, atol=1e-5)


def test_smaller_images_are_means_of_squares_after_turning(digits: Dataset, tmp_path: Path) -> None:
    few = SETTINGS.model_copy(update={"shrink": 2, "test_images": 50})
    prepare.prepare_all(few, tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/digits", SPLITS, verify=True)
    assert (data.image_size, data.card["shrink"]) == (4, 2)
    whole = np.array(digits.train.images)
    expected = (whole[..., ::2, :] + whole[..., 1::2, :])[..., ::2] / 4
    expected += (whole[..., ::2, :] + whole[..., 1::2, :])[..., 1::2] / 4
    np.testing.assert_allclose(data.train.images, expected, atol=1e-6)
    assert data.mean == pytest.approx(digits.mean, abs=1e-6) and data.std < digits.std
    at = {image.tobytes(): place for place, image in enumerate(shrink(digits.test.images, 2))}
    places = [at[image.tobytes()] for image in data.test.images]
    degrees = np.load(tmp_path / "prepare/digits/test_angles.npy")
    turned = shrink(turn(digits.test.images[places], degrees), 2)
    np.testing.assert_array_equal(data.test_turned.images, turned)
    bytes_ = (255 * whole[:9]).astype(np.uint8)
    exact = bytes_.astype(float).reshape(9, 1, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_array_equal(shrink(bytes_, 2), np.rint(exact))


def test_the_card_tells_the_truth(output: Path, digits: Dataset) -> None:
    card = json.loads((output / "digits/card.json").read_text())
    assert card["licence"] == "CC BY 4.0" and "Alpaydin" in card["citation"]
    assert (card["seed"], card["validation_fraction"], card["test_fraction"]) == (3, 0.15, 0.25)
    assert set(card["duplicates"].values()) == {0} and card["skipped"]["count"] == 0
    assert card["value_range"]["train"] == [0, 1] and card["near_duplicates"]["test_in_train"] == 0
    on_disk = {path.name for path in (output / "digits").iterdir()} - {"card.json"}
    assert set(card["files"]) == on_disk
    for name, file in card["files"].items():
        assert file["sha256"] == file_sha256(output / "digits" / name)
    for name, counts in card["counts"].items():
        labels = getattr(digits, name).labels
        assert counts == {"total": len(labels), "classes": np.bincount(labels).tolist()}
    assert (output / "digits/samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "other"),
    [("seed", 4), ("validation_fraction", 0.3), ("test_fraction", 0.3), ("train_fraction", 0.5),
     ("images_per_class", 7), ("test_images", 9), ("shrink", 2)],
)  # fmt: skip
def test_the_card_fits_the_parameters_that_it_was_prepared_with(
    name: str, other: float, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_inputs, "PREPARED", output)
    stage_inputs.read_card(SETTINGS, "digits")
    with pytest.raises(UserError, match=rf"was prepared with {name} .*, but params\.yaml says"):
        stage_inputs.read_card(SETTINGS.model_copy(update={name: other}), "digits")


def test_another_process_writes_the_same_bytes(output: Path, tmp_path: Path, root: Path) -> None:
    study = yaml.safe_load((root / "studies/digits.yaml").read_text())
    study["prepare"] = SETTINGS.model_dump(mode="json")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study))
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.prepare"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    other = tmp_path / "data/prepare/digits"
    assert {p.name for p in other.iterdir()} == {p.name for p in (output / "digits").iterdir()}
    for path in sorted(other.iterdir()):
        assert path.read_bytes() == (output / "digits" / path.name).read_bytes(), path.name
    said, last = done.stdout.splitlines()[-2:]
    assert last.startswith("prepare: done after ")
    assert said == (
        "prepare: digits: 1,078 train, 269 validation, 450 test images, checked, "
        "in data/prepare/digits"
    )


def test_a_failed_prepare_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "prepare"
    (output / "digits").mkdir(parents=True)
    (output / "digits/card.json").write_text("old")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "write_pictures", stop)  # arrays are written, the card is not
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare_all(SETTINGS, output)
    # What is read stays for the next attempt, under a name that nobody takes for a result.
    assert {path.name for path in tmp_path.iterdir()} == {"prepare", ".prepare.work.tmp"}
    assert (output / "digits/card.json").read_text() == "old"


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_is_found_when_verifying(copy: Path) -> None:
    path = copy / "validation_images.npy"
    expected = json.loads((copy / "card.json").read_text())["files"][path.name]["sha256"]
    flip(path, -1)
    with pytest.raises(UserError) as error:
        load_dataset(copy, verify=True)
    assert str(error.value).startswith(f"{path}: ")
    assert expected in str(error.value) and file_sha256(path) in str(error.value)


def test_a_stage_trusts_no_damaged_split(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sweep, stage_inputs):
        monkeypatch.setattr(module, "PREPARED", copy.parent)
    monkeypatch.chdir(copy.parent)
    flip(copy / "train_images.npy", -1)
    with pytest.raises(UserError, match=r"train_images.npy: its SHA-256 is"):
        sweep.sweep(fake_study.study().model_copy(update={"prepare": SETTINGS}), InProcess())


def test_only_the_splits_asked_for_are_opened(copy: Path) -> None:
    for path in copy.glob("test*"):
        path.unlink()
    dataset = load_dataset(copy, verify=True)
    assert dataset.test is None and dataset.test_turned is None
    with pytest.raises(UserError, match=r"test_images.npy: there is no such file"):
        load_dataset(copy, ("train", "validation", "test"))


def rewrite(name: str, array: np.ndarray, copy: Path) -> Path:
    """Put another array under the name, with a card that agrees on its bytes."""
    np.save(copy / name, array, allow_pickle=True)
    card = json.loads((copy / "card.json").read_text())
    card["files"][name] = {
        "bytes": (copy / name).stat().st_size,
        "sha256": file_sha256(copy / name),
    }
    (copy / "card.json").write_text(json.dumps(card))
    return copy / name


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train_images.npy", np.zeros((1078, 1, 8, 9), np.float32), r"shape \(1078, 1, 8, 9\)"),
        ("train_images.npy", np.zeros((1077, 1, 8, 8), np.float32), r"shape \(1077, 1, 8, 8\)"),
        ("train_images.npy", np.zeros((1078, 1, 8, 8), np.float64), "holds float64"),
        ("train_labels.npy", np.full(1078, 10), "holds the label 10"),
        ("train_labels.npy", np.full(1078, -1), "holds the label -1"),
        ("train_labels.npy", np.zeros(1078), "holds float64"),
        ("train_labels.npy", np.array([object] * 1078), "is not a plain array file"),
    ],
)
def test_an_array_that_is_not_what_the_card_says_is_refused(
    name: str, array: np.ndarray, words: str, copy: Path
) -> None:
    path = rewrite(name, array, copy)
    with pytest.raises(UserError, match=words) as error:
        load_dataset(copy, verify=True)
    assert str(error.value).startswith(f"{path}: ")


def test_a_file_cut_short_is_found_without_reading_it(copy: Path) -> None:
    path = copy / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"has 276,095 bytes, but card.json says 276,096"):
        load_dataset(copy)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file: run `dvc repro prepare`"),
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[1]", "has format None, but this code reads 2"),
        (b'{"format": 99}', "has format 99, but this code reads 2"),
        (b'{"format": 2}', "is incomplete"),
    ],
)
def test_a_card_that_cannot_be_trusted_is_refused(
    content: bytes | None, words: str, copy: Path
) -> None:
    (copy / "card.json").unlink()
    if content is not None:
        (copy / "card.json").write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        load_dataset(copy)
    assert str(error.value).startswith(f"{copy / 'card.json'}: ")
