"""Rows of the test images moved: under the elements of D4, by shifts, and along a full turn."""

from __future__ import annotations

from functools import partial
from typing import Any

from gsa_core import rotate_image, shift_image
from pipeline.confirm.measures.measured_network import SQUARE, Probe

__all__ = ["move_rows", "passes", "turn_rows"]

Row = dict[str, Any]
SHIFTS = ((1, 0), (0, 1), (-1, 0), (0, -1), (2, 0), (0, 2))  # pixels down and to the right


def passes(images: int, measured: int, angles: int) -> int:
    """Return how many images `measure` passes through a network.

    All images upright, under three quarter turns and turned at random; the measured ones under four
    mirrors, shifts, angles between quarter turns, and the turned ones under the rest of D4.
    """
    return 5 * images + measured * (4 + len(SHIFTS) + (angles - 4) + 7)


def move_rows(some: Probe, elements: list[Row], background: float | str) -> list[Row]:
    """Measure shifts; add the elements of D4, which are known."""
    moves = [
        {"kind": "element", "transformation": SQUARE.element_name(k), **row}
        for k, row in enumerate(elements, start=1)
    ]
    for rows, cols in SHIFTS:
        row = some.moved(partial(shift_image, rows=rows, cols=cols, outside=background))
        moves.append({"kind": "shift", "transformation": f"{rows:+d} {cols:+d}", **row})
    return moves


def turn_rows(
    whole: Probe, some: Probe, quarters: list[Row], angles: int, background: float | str
) -> list[Row]:
    """Measure along a full turn; at 0 every image is as it is, and quarter turns are known."""
    exact = {0: whole.compared(whole.logits), **dict(zip((90, 180, 270), quarters, strict=True))}
    return [_at_angle(some, exact, 360 * step / angles, background) for step in range(angles)]


def _at_angle(some: Probe, exact: dict[int, Row], angle: float, background: float | str) -> Row:
    """Measure at an angle; between the quarter turns it also measures the interpolation."""
    exactly = exact.get(int(angle)) if angle % 90 == 0 else None
    row = exactly or some.moved(partial(rotate_image, degrees=angle, outside=background))
    return {"angle_degrees": angle, "exact": angle % 90 == 0, **row}
