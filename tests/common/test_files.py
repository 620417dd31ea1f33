"""Atomic writing: the old content or the new, never a part, whatever goes wrong."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import files
from pipeline.common.errors import UserError

WRITERS = {
    "bytes": lambda path: files.write_bytes(path, b"new"),
    "text": lambda path: files.write_text(path, "new é"),
    "json": lambda path: files.write_json(path, {"b": 1, "a": [None]}),
    "array": lambda path: files.write_array(path, np.arange(6).reshape(2, 3)),
}
by_writer = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    for name, writer in WRITERS.items():
        writer(tmp_path / "deep" / name)
    assert (tmp_path / "deep/text").read_text("utf-8") == "new é"
    assert (tmp_path / "deep/json").read_text() == '{\n  "a": [\n    null\n  ],\n  "b": 1\n}\n'
    np.testing.assert_array_equal(np.load(tmp_path / "deep/array"), [[0, 1, 2], [3, 4, 5]])
    assert names(tmp_path / "deep") == sorted(WRITERS)


@by_writer
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, r"cannot write .*because the disk is full \([\d,]+ bytes are free\)"),
        (errno.EDQUOT, "cannot write .*quota"),
        (errno.EROFS, "cannot write .*read-only"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(
    writer, code: int, words: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(files.os, step, refuse)
    with pytest.raises(UserError, match=words) as error:
        writer(path)
    assert str(error.value).startswith(str(path))
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_an_object_array_is_never_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_array(tmp_path / "a.npy", np.array([object()]))
    assert names(tmp_path) == []


def test_a_number_that_is_none_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_an_error_in_the_block_is_passed_on_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with files.replacing_folder(tmp_path / "out") as folder:
            assert names(folder) == []
            (folder / content).touch()
        assert names(tmp_path) == ["out"] and names(tmp_path / "out") == [content]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    with (
        pytest.raises(UserError, match="the disk is full"),
        files.replacing_folder(tmp_path / "out") as folder,
    ):
        (folder / "new").touch()
        raise OSError(errno.ENOSPC, "full")
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["old"]


def test_what_a_killed_attempt_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".out.tmp").mkdir()
    (tmp_path / ".out.tmp/half").touch()
    with files.replacing_folder(tmp_path / "out") as folder:
        (folder / "whole").touch()
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["whole"]


def test_checksum_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
