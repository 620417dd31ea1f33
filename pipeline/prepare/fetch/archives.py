"""Read named members of downloaded archives; nothing is ever written under a member's name.

Names, kinds and sizes are checked here, because ``tarfile`` before Python 3.11.13 can leave its
folder even with its own filter. No more bytes are read than the caller expects, whatever the
archive announces.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from pipeline.common.errors import UserError, first_line

MOST_MEMBERS = 1000
_MOST_DIRECTORY = 1 << 20  # bytes of a zip file's directory: read at once by the standard library
_END_OF_DIRECTORY, _END_BYTES = b"PK\x05\x06", 22

_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


class LimitedStream(io.RawIOBase):
    """A stream that refuses to give more bytes than expected, against decompression bombs."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self.stream, self.most, self.given = stream, most, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; a negative size means all."""
        room = self.most - self.given
        data = self.stream.read(room + 1 if size < 0 else min(size, room + 1))
        self.given += len(data)
        if self.given > self.most:
            raise ValueError(f"it unpacks to more than the {self.most:,} bytes that are expected")
        return data

    def readinto(self, buffer: object) -> int:
        """Fill a buffer; what `io.BufferedReader` calls."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path}: {first_line(error)}: remove it and fetch it again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def open_gzip(path: Path, most: int) -> Iterator[BinaryIO]:
    """Open a gzip file whose content has at most so many bytes.

    Raises
    ------
    UserError
        Also for errors while the block reads.
    """
    with _refusing(path), open(path, "rb") as file:
        _check_start(file, b"\x1f\x8b", "gzip file")
        with gzip.open(file) as stream:
            yield cast(BinaryIO, LimitedStream(cast(BinaryIO, stream), most))


def read_tar_members(path: Path, wanted: dict[str, int]) -> dict[str, bytes]:
    """Return members of a ``.tar.gz`` file, each of exactly the size given with its name.

    Raises
    ------
    UserError
        When a wanted member is missing or of another size, and for an archive that holds more
        than such archives do, or a link, a device or a name that points elsewhere.
    """
    found: dict[str, bytes] = {}
    # Headers, padding and a few small files come on top of what is wanted.
    most = sum(wanted.values()) + (1 << 20)
    with (
        open_gzip(path, most) as stream,
        _refusing(path),
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for number, member in enumerate(archive):
            if number >= MOST_MEMBERS:
                raise ValueError(f"it holds more than {MOST_MEMBERS} members")
            _check_name(member.name)
            if not (member.isfile() or member.isdir()):
                raise ValueError(
                    f"its member {member.name!r} is a link or a device, not a plain file"
                )
            size = wanted.get(member.name)
            if size is None:
                continue
            if member.name in found or member.size != size:
                raise ValueError(
                    f"its member {member.name!r} occurs twice or has {member.size:,} bytes instead "
                    f"of {size:,}"
                )
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        # The checksum is at the end of a gzip file.
        while stream.read(1 << 20):
            pass
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise UserError(f"{path}: has no member {missing[0]!r}: remove it and fetch it again")
    return found


@contextmanager
def open_zip_member(path: Path, name: str, most: int) -> Iterator[BinaryIO]:
    """Open one member of a ``.zip`` file, which has at most so many bytes.

    Raises
    ------
    UserError
        As `read_tar_members`, and for errors while the block reads.
    """
    with _refusing(path):
        with open(path, "rb") as file:
            _check_start(file, b"PK", "zip file")
            check_directory(file)
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                _check_name(info.filename)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise ValueError(f"its member {info.filename!r} is a link, not a plain file")
            if [info.filename for info in archive.infolist()].count(name) != 1:
                raise ValueError(f"it has no member {name!r}, or several")
            if archive.getinfo(name).file_size > most:
                raise ValueError(
                    f"its member {name!r} unpacks to {archive.getinfo(name).file_size:,} bytes, "
                    f"more than the {most:,} that are expected"
                )
            with archive.open(name) as stream:
                limited = LimitedStream(cast(BinaryIO, stream), most)
                yield cast(BinaryIO, io.BufferedReader(limited, 1 << 20))


def _check_start(file: BinaryIO, magic: bytes, kind: str) -> None:
    start = file.read(512)
    file.seek(0)
    if not start.startswith(magic):
        page = start.lstrip()[:1] == b"<"
        what = "a web page saved under this name" if page else f"not a {kind}"
        raise ValueError(f"it is {what}" if start else "it is empty")


def check_directory(file: BinaryIO) -> None:
    """Refuse a directory that is too large, before the standard library reads all of it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_BYTES - 0xFFFF))
    tail = file.read()
    place = tail.rfind(_END_OF_DIRECTORY)
    if place < 0 or len(tail) < place + _END_BYTES:
        raise ValueError("its end is missing")
    entries = int.from_bytes(tail[place + 10 : place + 12], "little")
    length = int.from_bytes(tail[place + 12 : place + 16], "little")
    if entries > MOST_MEMBERS or length > _MOST_DIRECTORY:
        raise ValueError(f"it holds more than {MOST_MEMBERS} members")


def _check_name(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1] or "\0" in name:
        raise ValueError(f"its member {name[:80]!r} points out of the archive")
