"""Records as lines of JSON that end in a checksum, so that damage is noticed."""

from __future__ import annotations

import json
import zlib
from typing import Any

__all__ = ["decode", "encode"]

CHECKSUM = "crc32"


def encode(record: dict[str, Any]) -> bytes:
    """Write a record as one line that ends in a checksum."""
    body = json.dumps(record, separators=(",", ":"))
    return f'{body[:-1]},"{CHECKSUM}":{zlib.crc32(body.encode())}}}\n'.encode()


def decode(line: bytes) -> dict[str, Any] | None:
    """Read a line back; None when it is not exactly what was written."""
    head, _, tail = line.rpartition(f',"{CHECKSUM}":'.encode())
    body = head + b"}"
    if tail != f"{zlib.crc32(body)}}}\n".encode():
        return None
    return dict(json.loads(body))
