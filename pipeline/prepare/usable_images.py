"""Which images can be used once all were read, and what is said of those that cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.parts import Images
from pipeline.prepare.reading import Pooled
from pipeline.study.datasets import Source

__all__ = ["describe_skipped", "reading_notes", "usable_images", "writing_notes"]

_LISTED, _SAID = 1000, 3  # bad images named in the card and in the output


def usable_images(
    source: Source, parts: Mapping[str, Images], pooled: Mapping[str, Pooled]
) -> dict[str, np.ndarray]:
    """Return the places of the images of each part that can be used.

    Raises
    ------
    UserError
        When a part, or a class of it, has no such image left.
    """
    found = {}
    for name, part in parts.items():
        problems = pooled[name].problems
        usable = np.setdiff1d(np.arange(len(part)), list(problems))
        where = "" if name == "all" else f" in {name}"
        first = next(iter(problems.values()), "")
        if not len(usable):
            raise UserError(
                f"{source.name}: none of its {len(part):,} images{where} can be used; the first, "
                f"{first}: fix or replace them"
            )
        left = np.bincount(part.labels[usable], minlength=source.classes)
        lost = [label for label in np.unique(part.labels).tolist() if not left[label]]
        if lost:
            bad = next(text for i, text in problems.items() if part.labels[i] == lost[0])
            count = int((part.labels == lost[0]).sum())
            raise UserError(
                f"{source.name}: none of the {count:,} images of the class "
                f"{_name(source, lost[0])!r}{where} can be used; the first, {bad}: fix them, or "
                "remove the class"
            )
        found[name] = usable
    return found


def describe_skipped(
    source: Source, parts: Mapping[str, Images], pooled: Mapping[str, Pooled]
) -> dict[str, Any]:
    """Return for the card how many images were left out, of which class, and why."""
    problems = [
        (_name(source, parts[part].labels[index]), text)
        for part, read in pooled.items()
        for index, text in read.problems.items()
    ]
    return {
        "count": len(problems),
        "classes": dict(sorted(Counter(label for label, _ in problems).items())),
        "images": [text for _, text in problems[:_LISTED]],
    }


def reading_notes(reading: dict[str, Any], total: int) -> Iterator[str]:
    """Say which images were left out and what was chosen for the others."""
    skipped = reading["skipped"]
    if skipped["count"]:
        classes = ", ".join(f"{name} {count:,}" for name, count in skipped["classes"].items())
        more = skipped["count"] - _SAID
        yield (
            f"skipped {skipped['count']:,} bad images of {total:,} ({classes}): "
            + "; ".join(skipped["images"][:_SAID])
            + (f"; and {more:,} more, which card.json lists" if more > 0 else "")
        )
    chosen = reading.get("stored_values", {}).get("auto", {})
    if "value_range" in chosen:
        low, high = chosen["value_range"]["chosen"]
        yield (
            f"value_range: auto chose {low} to {high} for images of more than 8 bits, "
            f"whose largest value is {chosen['value_range']['largest']}"
        )
    if "clipped" in chosen:
        found = chosen["clipped"]
        yield (
            f"value_range: auto clipped {found['images']:,} images of floats that rounding errors "
            f"take outside 0 to 1, by {found['outside_by']:.2g} at most"
        )
    if "background" in chosen:
        found = chosen["background"]
        yield (
            f"background: auto chose {found['chosen']} for {found['transparent_images']:,} images "
            f"with transparent parts, of which {found['of_black_ink']:,} show black alone"
        )


def writing_notes(card: dict[str, Any]) -> Iterator[str]:
    """Say what of a card somebody should know who does not read it."""
    equal = card["equal_with_other_labels"]
    if equal["images"]:
        classes = "; ".join(f"{names}: {count:,}" for names, count in equal["classes"].items())
        yield f"{equal['images']:,} images are equal to an image with another label ({classes})"
    top = 255 if card["dtype"] == "uint8" else 1
    most = card["value_range"]["train"][1]
    if "stored_values" in card and most <= top / 4:
        yield (
            f"the largest value of the training images is {most:g} of {top}: if that is white, "
            "declare value_range: [low, high] of the stored values"
        )


def _name(source: Source, label: int) -> str:
    return source.class_names[label] if source.class_names else str(label)
