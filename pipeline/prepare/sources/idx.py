"""Read gzipped IDX files, the format of MNIST: a short header, then plain bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.prepare.fetch.archives import open_gzip

_UNSIGNED_BYTE = 8  # the element type of image sets
_MOST_BYTES = 2**31  # more than any set of this format; bounds what a forged header can ask for


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read one ``.gz`` file.

    Parameters
    ----------
    path
        The file.
    dimensions
        How many the array must have: 3 for images ``(count, height, width)``, 1 for labels.

    Raises
    ------
    UserError
        When the file is not exactly that.
    """
    with open_gzip(path, _MOST_BYTES) as stream:
        return parse_idx(stream, dimensions)


def parse_idx(stream: BinaryIO, dimensions: int) -> np.ndarray:
    """Read an array of unsigned bytes; no more is read than the header announces.

    Raises
    ------
    ValueError
        For another type or number of dimensions, and for content shorter or longer than announced.
    EOFError
        When the compressed stream ends early.
    """
    header = stream.read(4 + 4 * dimensions)
    expected = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if header[:4] != expected:
        raise ValueError(f"it starts with {header[:4].hex()}, expected {expected.hex()}")
    if len(header) < 4 + 4 * dimensions:
        raise ValueError("it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4", offset=4))
    count = math.prod(shape)
    if count > _MOST_BYTES:
        raise ValueError(f"its header announces {count:,} bytes, which no such file has")
    content = bytearray()
    # By portions: memory follows what is there, not what a header announces.
    while portion := stream.read(min(1 << 20, count + 1 - len(content))):
        content += portion
    if len(content) != count:
        found = "more" if len(content) > count else f"{len(content):,}"
        raise ValueError(f"its header announces {count:,} bytes, but it holds {found}")
    return np.frombuffer(bytes(content), dtype=np.uint8).reshape(shape)
