"""Data files that lie: little is read of them, nothing is run, one sentence says what is wrong."""

from __future__ import annotations

import io
import pickle
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images import own, picture
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.prepare.sources import parquet
from pipeline.prepare.sources.open_source import open_source

often = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def read_whole(path: Path, kind: str) -> int:
    """Read a source as `prepare` does; return the number of its images."""
    (part,) = open_source("mine", own(path, kind, on_bad_image="skip"), path.parent).given.values()
    part.images.read(0, len(part))
    return len(part)


def refusal(path: Path, kind: str) -> str:
    """The one sentence, which comes at once and takes no memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UserError) as error:
        read_whole(path, kind)
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
    (problem,) = error.value.problems
    assert problem.startswith(str(path)) and "\n" not in problem
    return problem


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


IMAGES = np.stack([picture(seed) for seed in range(6)])
LABELS = np.arange(6) % 2
WHOLE = {"images": npy(IMAGES), "labels": npy(LABELS)}


def test_a_pickle_in_an_array_file_is_not_opened(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")] * 6, dtype=object)
    path = npz(tmp_path / "a.npz", **{**WHOLE, "images": npy(trap, allow_pickle=True)})
    assert "images is not a plain array" in refusal(path, "arrays")
    # A pickle under the name of an array, in a file and in an archive.
    bare = pickle.dumps(Trap(tmp_path / "sprung"))
    assert "images is not a" in refusal(npz(path, **{**WHOLE, "images": bare}), "arrays")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/images.npy").write_bytes(bare)
    (tmp_path / "folder/labels.npy").write_bytes(WHOLE["labels"])
    assert "is not a plain array file" in refusal(tmp_path / "folder", "arrays")
    assert not (tmp_path / "sprung").exists()


def forged(shape: str) -> bytes:
    """An array file whose header announces another shape than its content has."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize("shape", ["(99999, 99999, 999)", "(6, 8, 9)", "(-1, 8)", "(6, 8, open)"])
def test_a_forged_header_is_refused(shape: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", **{**WHOLE, "images": forged(shape)})
    assert "images is not a plain array" in refusal(path, "arrays")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/images.npy").write_bytes(forged(shape))
    (tmp_path / "b/labels.npy").write_bytes(WHOLE["labels"])
    assert "images.npy: is not a plain array file" in refusal(tmp_path / "b", "arrays")


def test_an_archive_that_would_fill_the_memory_stays_folded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
        archive.infolist()[0].file_size = 10 << 30
    path.write_bytes(bomb.getvalue())
    assert "would take 10,737,418,240 bytes" in refusal(path, "arrays")
    many = npz(path, **{f"m{number}": b"" for number in range(1001)})
    assert "more than 1000 members" in refusal(many, "arrays")


def encoded(count: int) -> list[bytes]:
    found = []
    for seed in range(count):
        buffer = io.BytesIO()
        Image.fromarray(picture(seed)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


@pytest.mark.parametrize("name", ["ray.data.arrow_tensor", "arrow.py_extension_type"])
def test_extension_metadata_of_parquet_is_not_run(name: str, tmp_path: Path) -> None:
    payload = pickle.dumps(Trap(tmp_path / "sprung"))
    field = pa.field("image", pa.binary()).with_metadata(
        {"ARROW:extension:name": name, "ARROW:extension:metadata": payload}
    )
    schema = pa.schema([field, ("label", pa.int64())])
    table = pa.Table.from_arrays([pa.array(encoded(6)), pa.array(LABELS)], schema=schema)
    pq.write_table(table, tmp_path / "a.parquet")
    try:
        assert read_whole(tmp_path / "a.parquet", "parquet") == 6
    except UserError as refused:  # in a process where Ray has made the type known
        assert "is no Parquet file" in str(refused)
    assert not (tmp_path / "sprung").exists()


def test_a_parquet_bomb_stays_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = pa.chunked_array([pa.array([bytes(8 << 20)] * 8)] * 6)
    table = pa.table({"image": blank, "label": np.arange(48) % 2})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    del blank, table
    assert "which no set of images does" in refusal(tmp_path / "a.parquet", "parquet")
    monkeypatch.setattr(parquet, "MOST_ROWS", 999)
    pq.write_table(pa.table({"image": [b""] * 1000, "label": [1] * 1000}), tmp_path / "b.parquet")
    assert "and 1,000 rows, which no set" in refusal(tmp_path / "b.parquet", "parquet")


@often
@given(place=st.integers(0, 10_000), piece=st.binary(max_size=6), cut=st.integers(0, 40))
@pytest.mark.parametrize("kind", ["npz", "npy", "parquet"])
def test_a_damaged_file_is_read_or_refused(
    kind: str, place: int, piece: bytes, cut: int, tmp_path: Path
) -> None:
    if kind == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"image": encoded(6), "label": LABELS}), path)
    elif kind == "npz":
        path = npz(tmp_path / "a.npz", **WHOLE)
    else:
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a/labels.npy").write_bytes(WHOLE["labels"])
        path = tmp_path / "a/images.npy"
        path.write_bytes(WHOLE["images"])
    data = path.read_bytes()
    place %= len(data)
    path.write_bytes(data[:place] + piece + data[place + cut :])
    try:
        count = read_whole(path if kind != "npy" else path.parent, kind.replace("npz", "arrays")
                           .replace("npy", "arrays"))  # fmt: skip
    except UserError as error:
        assert error.problems and all("\n" not in problem for problem in error.problems)
    else:
        assert 0 < count <= 6 or kind == "parquet"
