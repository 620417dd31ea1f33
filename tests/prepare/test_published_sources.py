"""Published data sets from small files of exactly their format."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.sources import cifar10, fashion_mnist, mnist_rot, patch_camelyon
from pipeline.prepare.sources.amat import parse_amat
from pipeline.prepare.stage import prepare_all
from pipeline.study.schema import Prepare

RANDOM = np.random.default_rng(4)


def settings_for(name: str) -> Prepare:
    return Prepare(datasets=(name,), seed=0, validation_fraction=0.2, test_fraction=0.2)


def put(
    folder: Path, module: ModuleType, contents: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put files in the place of the published ones, with their checksums."""
    folder.mkdir(parents=True)
    files = []
    for file, content in zip(module.FILES, contents, strict=True):
        (folder / file.name).write_bytes(content)
        checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
        files.append(replace(file, bytes=len(content), checksum=checksum))
    monkeypatch.setattr(module, "FILES", tuple(files))
    monkeypatch.setenv("GSA_DATA", str(folder.parent))


def test_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for count in (200, 50):
        pixels = RANDOM.integers(0, 256, count * 784, dtype=np.uint8).tobytes()
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        contents += [
            gzip.compress(struct.pack(">IIII", 2051, count, 28, 28) + pixels),
            gzip.compress(struct.pack(">II", 2049, count) + labels),
        ]
    put(tmp_path / "raw/fashion-mnist", fashion_mnist, contents, monkeypatch)
    prepare_all(settings_for("fashion-mnist"), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/fashion-mnist", SPLITS)
    assert (len(data.train), len(data.validation), len(data.test)) == (160, 40, 50)
    assert data.card["class_names"][9] == "ankle boot"
    short = [*contents[:3], gzip.compress(struct.pack(">II", 2049, 49) + bytes(49))]
    put(tmp_path / "short/fashion-mnist", fashion_mnist, short, monkeypatch)
    with pytest.raises(UserError, match=r"t10k-labels.* holds 49 labels for the 50 images"):
        fashion_mnist.read()


def cifar_archive(records: np.ndarray) -> bytes:
    """Six files of equal length in a folder, as the binary version has them."""
    buffer = io.BytesIO()
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, part in zip(names, np.split(records, 6), strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = part.nbytes
            archive.addfile(info, io.BytesIO(part.tobytes()))
    return buffer.getvalue()


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "ROWS", 40)
    records = RANDOM.integers(0, 256, (240, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(240) % 10
    put(tmp_path / "raw/cifar10", cifar10, [cifar_archive(records)], monkeypatch)
    prepare_all(settings_for("cifar10"), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/cifar10", SPLITS)
    assert (len(data.train), len(data.validation), len(data.test)) == (160, 40, 40)
    assert (data.in_channels, data.image_size, data.num_classes) == (3, 32, 10)
    # A record is a label and three planes, each row by row.
    np.testing.assert_array_equal(data.test.images.reshape(40, 3072), records[200:, 1:])
    np.testing.assert_array_equal(data.test.labels, records[200:, 0])
    records[7, 0] = 10
    put(tmp_path / "bad/cifar10", cifar10, [cifar_archive(records)], monkeypatch)
    with pytest.raises(UserError, match=r"cifar-10-binary.tar.gz: record 7 has the label 10"):
        cifar10.read()


def amat(images: np.ndarray, labels: np.ndarray) -> bytes:
    rows = (
        "   ".join([*(f"{value:.7e}" for value in image), f"{label:.7e}"]) + "\n"
        for image, label in zip(images, labels, strict=True)
    )
    return "".join(rows).encode()


def test_mnist_rot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_rot, "SIZES", {"train_valid": 60, "test": 30})
    monkeypatch.setattr(mnist_rot, "VALIDATION", 20)
    images, labels = RANDOM.random((90, 784)), np.arange(90) % 10
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, some in (("train_valid", slice(0, 60)), ("test", slice(60, 90))):
            member = f"mnist_all_rotation_normalized_float_{name}.amat"
            archive.writestr(member, amat(images[some], labels[some]))
    put(tmp_path / "raw/mnist-rot", mnist_rot, [buffer.getvalue()], monkeypatch)
    prepare_all(settings_for("mnist-rot"), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/mnist-rot", SPLITS)
    assert (len(data.train), len(data.validation), len(data.test)) == (40, 20, 30)
    np.testing.assert_allclose(data.validation.images.reshape(20, 784), images[40:60], atol=1e-6)
    np.testing.assert_array_equal(data.test.labels, labels[60:])
    assert "generated" in data.card["remarks"]  # says which of the two it is


def hdf5(name: str, array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(name, data=array, chunks=(min(16, len(array)), *array.shape[1:]))
    return gzip.compress(buffer.getvalue(), 1)


def camelyon(sizes: dict[str, int]) -> tuple[list[bytes], dict[str, np.ndarray]]:
    contents, images = [], {}
    for part, count in sizes.items():
        images[part] = RANDOM.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        labels = (np.arange(count) % 2).astype(np.uint8).reshape(count, 1, 1, 1)
        contents += [hdf5("x", images[part]), hdf5("y", labels)]
    return contents, images


def test_patch_camelyon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"train": 40, "validation": 10, "test": 12}
    monkeypatch.setattr(patch_camelyon, "SIZES", sizes)
    contents, images = camelyon(sizes)
    put(tmp_path / "raw/patch-camelyon", patch_camelyon, contents, monkeypatch)
    prepare_all(settings_for("patch-camelyon"), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/patch-camelyon", SPLITS)
    assert (data.in_channels, data.image_size, data.num_classes) == (3, 96, 2)
    for part in sizes:
        expected = images[part].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(getattr(data, part).images, expected)
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "prepare"}  # nothing unpacked


def test_a_link_in_an_hdf5_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"train": 4, "validation": 4, "test": 4}
    monkeypatch.setattr(patch_camelyon, "SIZES", sizes)
    contents, _ = camelyon(sizes)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["x"] = h5py.ExternalLink("elsewhere.h5", "/x")
    contents[0] = gzip.compress(buffer.getvalue())
    put(tmp_path / "raw/patch-camelyon", patch_camelyon, contents, monkeypatch)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UserError, match=r"train_x.h5: has no array 'x' of its own"):
        patch_camelyon.read(tmp_path / "scratch")


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    place=st.integers(0, 400),
    piece=st.one_of(st.just(b""), st.binary(min_size=1, max_size=4)),
)
def test_amat_is_read_as_written_or_refused(rows: int, seed: int, place: int, piece: bytes) -> None:
    random = np.random.default_rng(seed)
    images, labels = random.random((rows, 3)), random.integers(0, 10, rows)
    text = amat(images, labels)
    place %= len(text) + 1
    text = text[:place] + piece + text[place:]
    try:
        found, numbers = parse_amat(io.BytesIO(text), rows, 3, 10)
    except ValueError as error:
        assert piece and "\n" not in str(error)
        return
    assert found.shape == (rows, 3) and ((found >= 0) & (found <= 1)).all()
    if not piece:
        np.testing.assert_allclose(found, images, atol=1e-6)
        np.testing.assert_array_equal(numbers, labels)


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=3 * 3073))
def test_cifar_records_are_whole_or_refused(data: bytes) -> None:
    try:
        part = cifar10.parse_records(data)
    except ValueError:
        assert len(data) % 3073 or max(data[::3073]) >= 10
    else:
        assert len(part) == len(data) // 3073
