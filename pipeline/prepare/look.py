"""`python -m pipeline prepare --look`: what was understood of your own data, before all is read."""

from __future__ import annotations

if __name__ == "__main__":  # before imports that take seconds, or fail
    from pipeline.common.commands import run_as

    run_as("prepare", "--look")

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import write_bytes
from pipeline.dataset.store import SPLITS
from pipeline.prepare.contact_sheet import one_of_each
from pipeline.prepare.parts import Images, read_shard
from pipeline.prepare.sources.location import check_places
from pipeline.prepare.sources.open_source import Opened, open_source
from pipeline.prepare.usable_images import reading_notes
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.params import load_params

if TYPE_CHECKING:
    from pipeline.study.schema import OwnSource, Prepare

__all__ = ["look", "main"]

FOLDER = Path(".state/look")
MOST_READ = 256  # images that are read of each part, spread over all of them
MOST_CLASSES, MOST_LISTED = 40, 5  # that are drawn, and that are listed


def main() -> None:
    """Look at every data set of the study."""
    settings = load_params().prepare
    check_places(settings)
    for name in settings.datasets:
        for line in look(name, settings, FOLDER):
            print(f"look: {name}: {line}", flush=True)


@dataclass
class _Seen:
    """What some images hold."""

    count: int = 0
    sizes: list[np.ndarray] = field(default_factory=list)
    low: float = np.inf
    high: float = -np.inf
    means: list[np.ndarray] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    first: dict[int, np.ndarray] = field(default_factory=dict)  # image of a class


def look(name: str, settings: Prepare, folder: Path) -> Iterator[str]:
    """Say what is understood of a data set, and draw an image of each class.

    Parameters
    ----------
    name
        Of the data set.
    settings
        The section of params.yaml.
    folder
        Where the picture is written.

    Raises
    ------
    UserError
        As the preparation does, but not for a bad image: those are listed.
    """
    known = sized(name, settings.sources)[0]
    if known in SOURCES:
        yield f"{SOURCES[known].title}: a published data set, with nothing of it left to you"
        return
    own = settings.sources[known]
    scratch = folder / name
    scratch.mkdir(parents=True, exist_ok=True)
    opened = open_source(name, settings, scratch)
    counts = {part: np.bincount(images.labels) for part, images in opened.parts.items()}
    total, names = sum(map(len, opened.parts.values())), opened.source.class_names
    yield f"{own.kind} {own.path}: {total:,} images in {len(names):,} classes"
    yield _splits(opened, settings)
    for label in range(min(len(names), MOST_CLASSES)):
        yield f"class {label}: {names[label]}: {_counts(counts, label)}"
    if len(names) > MOST_CLASSES:
        yield f"and {len(names) - MOST_CLASSES:,} classes more"
    yield from _too_small(counts, names)
    yield from _left_out(opened)
    seen = _Seen()
    for images in opened.parts.values():
        _read(images, opened, seen)
    yield from _images(seen, own.fit)
    if opened.survey is not None:
        chosen = {"skipped": {"count": 0}, "stored_values": {"auto": opened.survey.facts()}}
        yield from reading_notes(chosen, total)
    if seen.first:
        path = folder / f"{name}.png"
        shown = sorted(seen.first)[:MOST_CLASSES]
        titles = [f"{names[label]}\n{_counts(counts, label)}" for label in shown]
        write_bytes(path, one_of_each(_title(name, own), [seen.first[i] for i in shown], titles))
        yield f"one image of each class: {path}"


def _title(name: str, own: OwnSource) -> str:
    first = f", channels 1 to 3 of {own.channels}" if own.channels > 3 else ""
    return f"{name}: one image of each class, {own.side}x{own.side}{first}"


def _counts(counts: dict[str, np.ndarray], label: int) -> str:
    if list(counts) == ["all"]:
        return f"{counts['all'][label]:,} images"
    given = [part for part in SPLITS if part in counts]
    return ", ".join(f"{counts[part][label]:,} {part}" for part in given)


def _splits(opened: Opened, settings: Prepare) -> str:
    sizes = {part: len(images) for part, images in opened.parts.items()}
    drawn = f"validation ({settings.validation_fraction:.0%})"
    if "all" in sizes:
        return f"splits: made: {drawn} and test ({settings.test_fraction:.0%}) are drawn"
    given = ", ".join(f"{size:,} {part}" for part, size in sizes.items())
    more = "" if "validation" in sizes else f"; {drawn} is drawn from train"
    return f"splits: given: {given}{more}"


def _too_small(counts: dict[str, np.ndarray], names: Sequence[str]) -> Iterator[str]:
    """Name classes that have fewer images than splits are drawn from them."""
    padded = [np.pad(part, (0, len(names) - len(part))) for part in counts.values()]
    totals = np.sum(padded, axis=0)
    drawn = {"all": 3, "train": 1 if "validation" in counts else 2}
    small = {
        label
        for part, found in counts.items()
        for label in np.flatnonzero(found < drawn.get(part, 1)).tolist()
    }
    for label in sorted(small)[:MOST_LISTED]:
        yield (
            f"too few for every split: {names[label]} ({totals[label]:,}): add images, or set "
            f"min_count: {totals[label] + 1} to leave such classes out"
        )
    if len(small) > MOST_LISTED:
        yield f"and {len(small) - MOST_LISTED:,} classes more that are too small"


def _left_out(opened: Opened) -> Iterator[str]:
    for what in ("classes_left_out", "files_left_out"):
        for kind, count in opened.facts.get(what, {}).items():
            yield f"{what.replace('_', ' ')}: {kind} ({count:,})"
    yield from opened.facts.get("notes", [])
    groups = [part.groups for part in opened.parts.values() if part.groups is not None]
    if groups:
        yield f"groups: {len(np.unique(np.concatenate(groups))):,}, each kept in one split"


def _read(images: Images, opened: Opened, seen: _Seen) -> None:
    """Read the first good image of each class, and others spread over a part."""
    labels, done = images.labels, set()
    for label in range(min(opened.source.classes, MOST_CLASSES)):
        for place in np.flatnonzero(labels == label)[:MOST_LISTED].tolist():
            if label not in seen.first:
                done.add(place)
                image = _one(images, place, seen)
                if image is not None:
                    seen.first[label] = image
    spread = np.linspace(0, len(labels) - 1, min(MOST_READ, len(labels))).astype(int)
    for place in sorted(set(spread.tolist()) - done):
        _one(images, place, seen)


def _one(images: Images, place: int, seen: _Seen) -> np.ndarray | None:
    """Read one image and count it, or its problem."""
    try:
        shard = read_shard(images.images, place, place + 1)
        problems = list(shard.problems.values())
    except UserError as error:
        problems = list(error.problems)
    if problems:
        seen.problems += problems
        return None
    image: np.ndarray = shard.images[0]
    seen.count += 1
    seen.sizes.append(np.empty((0, 2)) if shard.sizes is None else shard.sizes)
    seen.low, seen.high = min(seen.low, image.min()), max(seen.high, image.max())
    seen.means.append(image.mean((1, 2), dtype=np.float64))
    return image


def _images(seen: _Seen, fit: str) -> Iterator[str]:
    if seen.count:
        sizes = np.concatenate(seen.sizes).astype(int)
        (top, left), (bottom, right) = sizes.min(0), sizes.max(0)
        channels = ", ".join(f"{mean:.3g}" for mean in np.mean(seen.means, 0))
        yield (
            f"of {seen.count:,} images looked at: height {top} to {bottom}, width {left} to "
            f"{right} ({fit}); values {seen.low:g} to {seen.high:g}, mean by channel {channels}"
        )
    for text in seen.problems[:MOST_LISTED]:
        yield f"bad image: {text}"
    if len(seen.problems) > MOST_LISTED:
        yield f"and {len(seen.problems) - MOST_LISTED:,} bad images more among these"
