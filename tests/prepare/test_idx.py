"""The idx parser: what was written comes back, anything else is a sentence and never an array."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.common.errors import UserError
from pipeline.prepare.sources.idx import parse_idx, read_idx

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))


def encoded(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@given(array=arrays)
def test_what_was_written_comes_back(array: np.ndarray) -> None:
    found = parse_idx(io.BytesIO(encoded(array)), array.ndim)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.uint8


@given(array=arrays, data=st.data())
def test_cut_anywhere_it_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    whole = encoded(array)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match=r"it starts with|ends within its header|but it holds"):
        parse_idx(io.BytesIO(whole[:length]), array.ndim)


@given(array=arrays, more=st.binary(min_size=1, max_size=9))
def test_longer_than_announced_it_is_refused(array: np.ndarray, more: bytes) -> None:
    with pytest.raises(ValueError, match=r"announces [\d,]+ bytes, but it holds more"):
        parse_idx(io.BytesIO(encoded(array) + more), array.ndim)


@given(magic=st.binary(min_size=4, max_size=4).filter(lambda magic: magic != b"\0\0\x08\x03"))
def test_another_magic_number_is_refused(magic: bytes) -> None:
    whole = encoded(np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=f"it starts with {magic.hex()}, expected 00000803"):
        parse_idx(io.BytesIO(magic + whole[4:]), 3)


@given(content=st.binary(max_size=64), dimensions=st.integers(1, 3))
def test_bytes_of_any_kind_are_an_array_or_a_value_error(content: bytes, dimensions: int) -> None:
    try:
        found = parse_idx(io.BytesIO(content), dimensions)
    except ValueError:
        return
    assert encoded(found) == content


def test_a_forged_size_is_refused_before_anything_is_read() -> None:
    stream = io.BytesIO(b"\0\0\x08\x03" + b"\xff" * 12)
    with pytest.raises(ValueError, match="which no such file has"):
        parse_idx(stream, 3)


class Endless(io.RawIOBase):
    """A bomb: the header announces ten bytes, and zeros never end."""

    def __init__(self) -> None:
        self.header = io.BytesIO(b"\0\0\x08\x01" + struct.pack(">I", 10))
        self.sent = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 16, "no more may be asked for than was announced"
        return self.header.read(size) or bytes(size)


def test_no_more_is_read_than_announced() -> None:
    with pytest.raises(ValueError, match="holds more"):
        parse_idx(Endless(), 1)


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        read_idx(path, 3)
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: ") and "\n" not in problem


WHOLE = gzip.compress(encoded(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)), mtime=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><title>Moved</title>", "it is a web page saved under this name"),
        (b"\n  <html>", "it is a web page saved under this name"),
        (b"PK\x03\x04", "it is not a gzip file"),
        (WHOLE[:2], "ended before"),
        (WHOLE[:-9], "ended before"),
        (WHOLE[:-4] + b"\0\0\0\0", "Incorrect length"),
        (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "CRC check failed"),
        (
            gzip.compress(b"\0\0\x08\x01\0\0\0\0", mtime=0),
            "it starts with 00000801, expected 00000803",
        ),
    ],
)
def test_a_file_that_is_no_idx_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    refused(tmp_path / "images.gz", content, words)


@settings(max_examples=60, deadline=None)
@given(bit=st.integers(0, 8 * len(WHOLE) - 1))
def test_a_flipped_bit_changes_no_pixel(bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("idx") / "images.gz"
    flipped = bytearray(WHOLE)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    try:
        found = read_idx(path, 3)
    except UserError:
        return
    np.testing.assert_array_equal(found, np.arange(24).reshape(2, 3, 4))


def test_a_file_comes_back(tmp_path: Path) -> None:
    (tmp_path / "images.gz").write_bytes(WHOLE)
    np.testing.assert_array_equal(
        read_idx(tmp_path / "images.gz", 3), np.arange(24).reshape(2, 3, 4)
    )
