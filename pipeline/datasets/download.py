"""Fetch one file: resumed where it stopped, never longer than announced, checked before use."""

from __future__ import annotations

import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from pipeline.files import explaining, file_sha256, settle

__all__ = ["download"]

_PORTION = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_REPORT = 3.0  # seconds between two lines of progress


def download(address: str, path: Path, *, size: int, sha256: str) -> None:
    """Fetch a file whose size and checksum are known.

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
    with explaining(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    if have < size:
        _receive(address, part, have, size)
    if part.stat().st_size != size or file_sha256(part) != sha256:
        part.unlink()
        raise ValueError(f"what {address} sends is not the published file")
    with explaining(path, size):
        settle(part, path)


def _receive(address: str, part: Path, have: int, size: int) -> None:
    headers = {"User-Agent": "gsa-core", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with urlopen(Request(address, headers=headers), timeout=_TIMEOUT) as response:
            # A server that knows no ranges answers 200 and sends everything again.
            goes_on = have > 0 and response.status == 206
            _copy(response, part, have if goes_on else 0, size)
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
                    f"{size / 1e6:.1f} MB, {(size - have) / rate:.0f} s left",
                    flush=True,
                )
    if have < size:
        raise OSError(f"the connection ended after {have:,} of {size:,} bytes")
