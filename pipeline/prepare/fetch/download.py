"""Download one file: resumable, bounded in size, verified by its checksum."""

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

_PORTION = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_REPORT = 3.0  # seconds between two lines of progress


# Limit for files whose size is not published.
_MOST_BYTES = 16 << 30


def checksum_name(checksum: str) -> str:
    """Return the kind of a checksum of hexadecimal digits."""
    return {32: "MD5", 64: "SHA-256"}[len(checksum)]


def file_checksum(path: Path, like: str) -> str:
    """Return the checksum of a file, of the same kind as another checksum."""
    kind = {"MD5": "md5", "SHA-256": "sha256"}[checksum_name(like)]
    with open(path, "rb") as file:
        # MD5 only where the authors publish nothing stronger; it guards against accidents.
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def download(address: str, path: Path, *, size: int | None, checksum: str) -> None:
    """Fetch a file whose checksum, and perhaps size, is known.

    An interrupted download stays in ``.<name>.part.tmp`` next to `path` and is resumed; the final
    name appears once the checksum matches.

    Raises
    ------
    OSError
        When the server cannot be reached or ends early.
    ValueError
        When what arrives is not the file.
    UserError
        When the disk refuses.
    """
    partial = path.with_name(f".{path.name}.part.tmp")
    with explaining(path, size or 0):
        path.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.exists() else 0
    if size is None or have < size:
        _receive(address, partial, have, size)
    if size not in (None, partial.stat().st_size) or file_checksum(partial, checksum) != checksum:
        partial.unlink()
        raise ValueError(f"what {address} sends is not the published file")
    with explaining(path, size or 0):
        settle(partial, path)


def _receive(address: str, partial: Path, have: int, size: int | None) -> None:
    headers = {"User-Agent": "gsa-core", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with urlopen(Request(address, headers=headers), timeout=_TIMEOUT) as response:
            # A server without ranges answers 200 and sends the whole file again.
            resumed = have > 0 and response.status == 206
            have = have if resumed else 0
            announced = response.headers.get("Content-Length")
            if size is None:
                size = min(have + int(announced), _MOST_BYTES) if announced else _MOST_BYTES
            _copy(response, partial, have, size)
    except HTTPError as error:
        # 416: everything has arrived already, as far as this server knows.
        if error.code != 416 or not have:
            raise
    except HTTPException as error:
        raise OSError(f"the connection broke: {error}") from error


def _copy(response: Any, partial: Path, have: int, size: int) -> None:
    start, printed, started_at = time.monotonic(), time.monotonic(), have
    with open(partial, "ab" if have else "wb") as file:
        while portion := response.read(_PORTION):
            have += len(portion)
            if have > size:
                file.truncate(0)
                raise ValueError(f"the server sends more than the {size:,} bytes of the file")
            with explaining(partial, size):
                file.write(portion)
            if time.monotonic() - printed > _REPORT:
                printed = time.monotonic()
                rate = (have - started_at) / (printed - start)
                print(
                    f"prepare: {partial.name[1:].removesuffix('.part.tmp')}: {have / size:.0%} of "
                    f"{units.size(size)}, {units.duration((size - have) / rate)} left",
                    flush=True,
                )
    if have < size != _MOST_BYTES:
        raise OSError(f"the connection ended after {have:,} of {size:,} bytes")
