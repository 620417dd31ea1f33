"""Turn new images into what the images of a prepared data set became, from its card alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.survey import Survey

__all__ = ["target_of"]


class _Choices(Survey):
    """The choices that were made for a whole data set, with nothing left to inspect."""

    def __init__(self, name: str, chosen: Mapping[str, Any]) -> None:
        super().__init__(Path(), name, "auto")
        background = chosen.get("background", {})
        self.found = {
            "largest": chosen.get("value_range", {}).get("largest", 0),
            "transparent": background.get("transparent_images", 0),
            "ink": background.get("of_black_ink", 0),
            "rounded": 0,
            "asked": [*chosen, "rounded"],
        }

    def _need(self, what: str) -> dict[str, Any]:
        if what not in self.found["asked"]:
            kind = {"value_range": "more than 8 bits a value", "background": "transparent parts"}
            raise ValueError(f"has {kind[what]}, and no image of {self.name} has")
        return self.found


def target_of(card: Mapping[str, Any]) -> Target:
    """Return size, type and values of the images of a prepared data set.

    Parameters
    ----------
    card
        The content of its ``card.json``.

    Returns
    -------
    Target
        An image that needs a choice of which the card has none is refused with a ValueError when
        it is decoded.
    """
    channels, side, _ = card["image_shape"]
    stored = card.get("stored_values", {})
    value_range = stored.get("value_range", "type")
    size = card.get("size", side)
    return Target(
        side,
        card.get("fit", "resize"),
        channels,
        card["dtype"],
        value_range=value_range if isinstance(value_range, str) else tuple(value_range),
        background=stored.get("background", "black"),
        pad_value=0 if card.get("pad_value") is None else card["pad_value"],
        rectangle=None if isinstance(size, int) else tuple(size),
        survey=_Choices(card["name"], stored.get("auto", {})),
    )
