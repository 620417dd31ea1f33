"""Read ``.amat`` files: text with an image in each line, its pixels and then its label."""

from __future__ import annotations

import warnings
from typing import BinaryIO

import numpy as np

_PORTION = 1 << 22


def parse_amat(stream: BinaryIO, rows: int, pixels: int, classes: int) -> tuple[np.ndarray, ...]:
    """Return pixels ``(rows, pixels)`` float32 from 0 to 1 and labels ``(rows,)`` int64.

    Raises
    ------
    ValueError
        For another number of lines or values, a value that is no number or outside 0 to 1, and a
        label that is no whole number below `classes`.
    """
    images = np.empty((rows, pixels), dtype=np.float32)
    labels = np.empty(rows, dtype=np.int64)
    row, rest = 0, b""
    while True:
        portion = stream.read(_PORTION)
        text = rest + portion
        if portion:
            cut = text.rfind(b"\n") + 1
            text, rest = text[:cut], text[cut:]
            if len(rest) > _PORTION:
                raise ValueError("it has a line of more than 4 MiB")
        lines = [line for line in text.split(b"\n") if line.strip()]
        if row + len(lines) > rows:
            raise ValueError(f"it has more than the {rows:,} lines that are expected")
        if lines:
            values = _numbers(lines, pixels + 1, row)
            _check(values, row, classes)
            images[row : row + len(lines)] = values[:, :-1]
            labels[row : row + len(lines)] = values[:, -1]
            row += len(lines)
        if not portion:
            break
    if row != rows:
        raise ValueError(f"it has {row:,} lines, expected {rows:,}")
    return images, labels


def _numbers(lines: list[bytes], columns: int, row: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # of text that is no number
            flat = np.fromstring(b" ".join(lines).decode("ascii"), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        raise ValueError(f"lines {row + 1:,} to {row + len(lines):,} hold no numbers") from error
    counts = {len(line.split()) for line in (lines[0], lines[-1])}
    if flat.size != columns * len(lines) or counts != {columns}:
        raise ValueError(
            f"lines {row + 1:,} to {row + len(lines):,} do not have {columns} numbers each"
        )
    return flat.reshape(len(lines), columns)


def _check(values: np.ndarray, row: int, classes: int) -> None:
    pixels, labels = values[:, :-1], values[:, -1]
    inside = (pixels >= 0) & (pixels <= 1)  # false for what is no number
    whole = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
    wrong = np.flatnonzero(~(inside.all(1) & whole))
    if len(wrong):
        raise ValueError(
            f"line {row + wrong[0] + 1:,} has a pixel outside 0 to 1, or a label that is no whole "
            f"number below {classes}"
        )
