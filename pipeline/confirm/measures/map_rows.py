"""Rows of a table that holds maps over the frames of a network, one row a value."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

MAX_VALUES = 20_000  # of the maps of one layer; more make no legible figure


def map_rows(maps: Float[Tensor, "group height width"], **columns: Any) -> list[dict[str, Any]]:
    """Return rows ``frame row col value``, after columns that are the same in every row."""
    return [
        {**columns, "frame": frame, "row": row, "col": col, "value": value}
        for frame, plane in enumerate(maps.tolist())
        for row, line in enumerate(plane)
        for col, value in enumerate(line)
    ]
