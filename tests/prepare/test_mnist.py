"""MNIST and rotated MNIST from the four published files, where they are at hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.dataset.turning import turn
from pipeline.prepare.sources import mnist, rotated_mnist
from pipeline.prepare.stage import prepare_all
from pipeline.study.schema import Prepare


@pytest.fixture
def raw(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the four files: `GSA_TEST_MNIST`, or beside the repository."""
    folder = Path(os.environ.get("GSA_TEST_MNIST") or root.parent / "shared/data/mnist")
    if not (folder / mnist.FILES[0].name).is_file():
        pytest.skip("needs the four files of MNIST: name their folder in GSA_TEST_MNIST")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/mnist").symlink_to(folder.resolve())
    monkeypatch.setenv("GSA_DATA", str(tmp_path / "raw"))
    return folder


def test_mnist_is_what_its_authors_counted(raw: Path) -> None:
    parts = mnist.read()
    assert {name: part.images.shape for name, part in parts.items()} == {
        "train": (60_000, 1, 28, 28),
        "test": (10_000, 1, 28, 28),
    }
    assert parts["train"].labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(parts["test"].labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert parts["train"].images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_a_file_in_the_place_of_another_is_refused(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist").mkdir()
    for file in mnist.FILES:
        shutil.copy(raw / mnist.FILES[-1].name, tmp_path / "mnist" / file.name)
    monkeypatch.setenv("GSA_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: its SHA-256 is f7ae60f9"):
        mnist.read()


def test_rotated_mnist_is_the_same_in_every_study(raw: Path) -> None:
    one, two = rotated_mnist.read(), rotated_mnist.read()
    assert {name: len(part) for name, part in one.items()} == {
        "train": 10_000, "validation": 2_000, "test": 50_000,
    }  # fmt: skip
    for name, part in one.items():
        np.testing.assert_array_equal(part.degrees, two[name].degrees)
        np.testing.assert_array_equal(part.labels, two[name].labels)
        counts = np.histogram(part.degrees, bins=8, range=(0, 360))[0]
        assert counts == pytest.approx(np.full(8, len(part) / 8), rel=0.2)


def test_rotated_mnist_is_prepared(raw: Path, tmp_path: Path) -> None:
    settings = Prepare(
        datasets=("rotated-mnist",), seed=0, validation_fraction=0.1, test_fraction=0.1
    )
    prepare_all(settings, tmp_path / "prepare")
    dataset = load_dataset(tmp_path / "prepare/rotated-mnist", SPLITS)
    source = rotated_mnist.read()["test"]
    some = slice(0, 64)
    upright, own = source.images[some], source.degrees[some]
    other = np.load(tmp_path / "prepare/rotated-mnist/test_angles.npy")[some]
    np.testing.assert_array_equal(dataset.test.images[some], turn(upright, own))
    # Turned from the upright image, not from the turned one: interpolated only once.
    np.testing.assert_array_equal(dataset.test_turned.images[some], turn(upright, other))
    assert set(dataset.card["duplicates"].values()) == {0}
    assert "not their archive" in dataset.card["remarks"]
