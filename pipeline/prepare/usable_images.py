"""Select the usable images after all were read, and report the bad ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.units import counted
from pipeline.prepare.labelled_images import LabelledImages
from pipeline.prepare.reading import StoredSplit
from pipeline.study.source import Source

_LISTED, _PRINTED = 1000, 3  # bad images named in the card and in the output


def usable_images(
    source: Source, given: Mapping[str, LabelledImages], stored: Mapping[str, StoredSplit]
) -> dict[str, np.ndarray]:
    """Return the indices of the usable images of each given split.

    Raises
    ------
    UserError
        When a given split, or a class of it, has no usable image.
    """
    found = {}
    for name, images in given.items():
        problems = stored[name].problems
        usable = np.setdiff1d(np.arange(len(images)), list(problems))
        where = "" if name == "all" else f" in {name}"
        first = next(iter(problems.values()), "")
        if not len(usable):
            raise UserError(
                f"{source.name}: none of its {len(images):,} images{where} can be used; the first, "
                f"{first}: fix or replace them"
            )
        left = np.bincount(images.labels[usable], minlength=source.classes)
        lost = [label for label in np.unique(images.labels).tolist() if not left[label]]
        if lost:
            bad = next(text for i, text in problems.items() if images.labels[i] == lost[0])
            count = int((images.labels == lost[0]).sum())
            raise UserError(
                f"{source.name}: none of the {count:,} images of the class "
                f"{_name(source, lost[0])!r}{where} can be used; the first, {bad}: fix them, or "
                "remove the class"
            )
        found[name] = usable
    return found


def describe_skipped(
    source: Source, given: Mapping[str, LabelledImages], stored: Mapping[str, StoredSplit]
) -> dict[str, Any]:
    """Return the number of skipped images by class, and the problem of each, for the card."""
    problems = [
        (_name(source, given[name].labels[index]), text)
        for name, split in stored.items()
        for index, text in split.problems.items()
    ]
    return {
        "count": len(problems),
        "classes": dict(sorted(Counter(label for label, _ in problems).items())),
        "images": [text for _, text in problems[:_LISTED]],
    }


def reading_notes(reading: dict[str, Any], total: int) -> Iterator[str]:
    """Yield a line on skipped images and on each automatic choice."""
    skipped = reading["skipped"]
    if skipped["count"]:
        classes = ", ".join(f"{name} {count:,}" for name, count in skipped["classes"].items())
        more = skipped["count"] - _PRINTED
        yield (
            f"skipped {counted(skipped['count'], 'bad image')} of {total:,} ({classes}): "
            + "; ".join(skipped["images"][:_PRINTED])
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
    """Yield a line on each entry of a card that a user should know."""
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
