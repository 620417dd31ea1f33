"""Write files and folders whole or not at all, and records as lines whose damage is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.common.errors import REFUSALS, UserError

__all__ = [
    "decode_record",
    "encode_record",
    "explaining",
    "file_sha256",
    "json_text",
    "replacing",
    "replacing_folder",
    "settle",
    "write_array",
    "write_bytes",
    "write_copy",
    "write_json",
    "write_text",
]

CHECKSUM = "crc32"


@contextmanager
def replacing(path: Path | str, size: int = 0) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    A reader, or a crash at any moment, sees the old file or the new one, never a part.

    Parameters
    ----------
    path
        The final name. Missing folders are made.
    size
        The bytes about to be written, as far as known, for the message when there is no room.

    Raises
    ------
    UserError
        When the disk refuses; the old file is then untouched.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.tmp")
    with explaining(path, size):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(aside, "wb") as file:
                yield file
            settle(aside, path)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Give an empty folder that replaces `path` when the block ends without an error.

    What an earlier, killed attempt left there is removed first. An old folder under the final
    name stays until the new one is complete.
    """
    path = Path(path)
    aside, old = (path.with_name(f".{path.name}.{end}") for end in ("tmp", "old.tmp"))
    with explaining(path):
        try:
            for left in (aside, old):
                shutil.rmtree(left, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            _sync(aside)
            if path.exists():
                os.rename(path, old)
            os.rename(aside, path)
            _sync(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def settle(aside: Path, path: Path) -> None:
    """Give a complete file its final name, content first, so that a crash cannot swap the two."""
    _sync(aside)
    os.replace(aside, path)
    _sync(path.parent)


@contextmanager
def explaining(path: Path | None = None, size: int = 0) -> Iterator[None]:
    """Turn a refusal of the disk into a `UserError` that names the path and the bytes.

    Without a path it names the one that the refusal names.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        anything = path is None
        path = path or Path(str(error.filename or "."))
        amount = f"{size:,} bytes" if size else "it"
        why = REFUSALS[error.errno]
        if error.errno == errno.ENOSPC:
            why += f" ({_free_bytes(path):,} bytes are free)"
        raise UserError(
            f"{path}: cannot {'use' if anything else 'write'} {amount}, because {why}: "
            "fix this and run the same command again"
        ) from error


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes to a file, whole or not at all."""
    with replacing(path, len(data)) as file:
        file.write(data)


def write_copy(path: Path | str, source: Path) -> None:
    """Copy a file, whole or not at all."""
    with source.open("rb") as content, replacing(path, source.stat().st_size) as file:
        shutil.copyfileobj(content, file)


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array in numpy's format, without pickle, whole or not at all."""
    with replacing(path, array.nbytes) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def json_text(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces. It is what gets hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode_record(record: dict[str, Any]) -> bytes:
    """Write a record as one line of JSON that ends in a checksum."""
    body = json.dumps(record, separators=(",", ":"))
    return f'{body[:-1]},"{CHECKSUM}":{zlib.crc32(body.encode())}}}\n'.encode()


def decode_record(line: bytes) -> dict[str, Any] | None:
    """Read a line back; None when it is not exactly what was written."""
    head, _, tail = line.rpartition(f',"{CHECKSUM}":'.encode())
    body = head + b"}"
    if tail != f"{zlib.crc32(body)}}}\n".encode():
        return None
    return dict(json.loads(body))


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    # Of a folder too: a rename is on the disk only once the folder that holds the name is.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _free_bytes(path: Path) -> int:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path("."))
    return shutil.disk_usage(folder).free
