"""Fetch one file: resumed where it stopped, never longer than announced, checked before use."""

from __future__ import annotations

import hashlib
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pipeline.common import units
from pipeline.common.files import explaining, settle

__all__ = ["checksum_name", "download", "file_checksum"]

_PORTION = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_REPORT = 3.0  # seconds between two lines of progress


# What a server may send where the size of a file is not published.
_MOST_BYTES = 16 << 30


def checksum_name(checksum: str) -> str:
    """Return what kind of checksum some hexadecimal digits are."""
    return {32: "MD5", 64: "SHA-256"}[len(checksum)]


def file_checksum(path: Path, like: str) -> str:
    """Return the checksum of a file, of the same kind as another checksum."""
    kind = {"MD5": "md5", "SHA-256": "sha256"}[checksum_name(like)]
    with open(path, "rb") as file:
        # Against accidents: the archives that publish an MD5 alone publish nothing stronger.
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def download(address: str, path: Path, *, size: int | None, checksum: str) -> None:
    """Fetch a file whose checksum, and perhaps size, is known.

    What has arrived stays in ``.<name>.part.tmp`` beside `path` and is taken up by the next
    attempt; the final name appears only once the checksum agrees.

    Raises
    ------
    OSError
        When the server cannot be reached or ends early.
    ValueError
        When what arrives is not the file.
    UserError
        When the disk refuses.
    """
    part = path.with_name(f".{path.name}.part.tmp")
    with explaining(path, size or 0):
        path.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    if size is None or have < size:
        _receive(address, part, have, size)
    if size not in (None, part.stat().st_size) or file_checksum(part, checksum) != checksum:
        part.unlink()
        raise ValueError(f"what {address} sends is not the published file")
    with explaining(path, size or 0):
        settle(part, path)


def _receive(address: str, part: Path, have: int, size: int | None) -> None:
    headers = {"User-Agent": "gsa-core", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with urlopen(Request(address, headers=headers), timeout=_TIMEOUT) as response:
            # A server that knows no ranges answers 200 and sends everything again.
            goes_on = have > 0 and response.status == 206
            have = have if goes_on else 0
            announced = response.headers.get("Content-Length")
            if size is None:
                size = min(have + int(announced), _MOST_BYTES) if announced else _MOST_BYTES
            _copy(response, part, have, size)
    except HTTPError as error:
        # 416: everything has arrived already, as far as this server knows.
        if error.code != 416 or not have:
            raise
    except HTTPException as error:
        raise OSError(f"the connection broke: {error}") from error


def _copy(response: Any, part: Path, have: int, size: int) -> None:
    begun, said, started_at = time.monotonic(), time.monotonic(), have
    with open(part, "ab" if have else "wb") as file:
        while portion := response.read(_PORTION):
            have += len(portion)
            if have > size:
                file.truncate(0)
                raise ValueError(f"the server sends more than the {size:,} bytes of the file")
            with explaining(part, size):
                file.write(portion)
            if time.monotonic() - said > _REPORT:
                said = time.monotonic()
                rate = (have - started_at) / (said - begun)
                print(
                    f"prepare: {part.name[1:].removesuffix('.part.tmp')}: {have / size:.0%} of "
                    f"{units.size(size)}, {units.duration((size - have) / rate)} left",
                    flush=True,
                )
    if have < size != _MOST_BYTES:
        raise OSError(f"the connection ended after {have:,} of {size:,} bytes")
