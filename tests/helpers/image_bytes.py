"""Encode images that Pillow does not write: PNGs and TIFFs of every depth, byte by byte."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np


def png16(values: np.ndarray, transparent: tuple[int, ...] | None = None) -> bytes:
    """A PNG of 16 bits, ``(height, width, channels)`` of 1 to 4 channels, with two filters."""
    height, width, channels = values.shape
    raw = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1)
    before, rows = np.zeros_like(raw[0]), b""
    for number, row in enumerate(raw):  # without a filter, and as a difference to the row above
        rows += bytes([0]) + row.tobytes() if number % 2 else bytes([2]) + (row - before).tobytes()
        before = row
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def part(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    clear = (
        b"" if transparent is None else part(b"tRNS", struct.pack(f">{channels}H", *transparent))
    )
    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + clear
        + part(b"IDAT", zlib.compress(rows))
        + part(b"IEND", b"")
    )


def tiff(
    values: np.ndarray,
    photometric: int = 1,
    *,
    order: str = "<",
    bits: int | None = None,
    data: bytes | None = None,
    more: dict[int, Any] | None = None,
) -> bytes:
    """A TIFF of one strip, ``(height, width)`` or ``(height, width, bands)``, of any type.

    `more` replaces or adds tags; `data` replaces the stored bytes.
    """
    values = np.atleast_3d(values)
    height, width, bands = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    stored = values.astype(values.dtype.newbyteorder(order)).tobytes() if data is None else data
    stored += bytes(len(stored) % 2)
    entries: dict[int, Any] = {
        256: width, 257: height, 258: [bits or 8 * values.dtype.itemsize] * bands, 259: 1,
        262: photometric, 273: 8, 277: bands, 278: height, 279: len(stored), 339: [kind] * bands,
        **(more or {}),
    }  # fmt: skip
    start = 8 + len(stored)
    behind = start + 2 + 12 * len(entries) + 4
    page, arrays = struct.pack(f"{order}H", len(entries)), b""
    for tag, value in sorted(entries.items()):
        numbers = value if isinstance(value, list) else [value]
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) == 1:
            place = packed
        else:
            place, arrays = struct.pack(f"{order}I", behind + len(arrays)), arrays + packed
        page += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + place
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", start) + stored + page + bytes(4) + arrays
