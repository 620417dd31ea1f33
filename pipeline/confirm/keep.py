"""How much of every run's predictions is kept, and how large the files become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.common.errors import UserError
from pipeline.confirm.measures.predictions import bytes_of_logits, bytes_of_predictions
from pipeline.study.cells import runs_of
from pipeline.study.schema import Params

__all__ = ["Kept", "kept", "measured_images", "stores_logits"]

# Bytes up to which `auto` keeps logits: those of all runs together, and those of one run. Runs keep
# theirs in `.state` by the second rule alone, so that more seeds or another `confirm.keep` do not
# repeat them.
MOST, MOST_OF_A_RUN = 200_000_000, 8_000_000


@dataclass(frozen=True)
class Kept:
    """What is kept of every test image, and how many bytes that is before compression.

    Attributes
    ----------
    what
        `logits`, `predictions` or `none`.
    """

    what: str
    size: int


def measured_images(params: Params, card: Mapping[str, Any]) -> int:
    """Return on how many images the costly measures are made."""
    images, asked = _images(card), params.confirm.measured_images
    return images if asked is None else min(asked, images)


def stores_logits(params: Params, card: Mapping[str, Any]) -> bool:
    """Whether a run brings its logits."""
    return params.confirm.keep == "logits" or _logits(card) <= MOST_OF_A_RUN


def kept(params: Params, cards: Mapping[str, Mapping[str, Any]]) -> Kept:
    """Resolve `confirm.keep` for the runs of all data sets, by their cards."""
    runs = {name: runs_of(params, name) for name in cards}
    logits = sum(runs[name] * _logits(card) for name, card in cards.items())
    fits = logits <= MOST and all(_logits(card) <= MOST_OF_A_RUN for card in cards.values())
    what = params.confirm.keep
    if what == "auto":
        what = "logits" if fits else "predictions"
    if what == "none":
        return Kept(what, 0)
    size = sum(
        runs[name] * bytes_of_predictions(_images(card), measured_images(params, card))
        for name, card in cards.items()
    )
    return Kept(what, size + logits if what == "logits" else size)


def _images(card: Mapping[str, Any]) -> int:
    return _number(card, "counts", "test", "total")


def _logits(card: Mapping[str, Any]) -> int:
    return bytes_of_logits(_images(card), _number(card, "classes"))


def _number(card: Mapping[str, Any], *keys: str) -> int:
    """Return a number of a card that somebody else may have written."""
    found: Any = card
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, int) or found < 0:
        raise UserError(
            f"the card of the data set {card.get('name')!r} has no number of {' '.join(keys)}: "
            "run `dvc repro --force prepare` to prepare it again"
        )
    return found
