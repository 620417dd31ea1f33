"""`python -m pipeline prepare --look`: inspect a sample of your own data before preparing them."""

from __future__ import annotations

if __name__ == "__main__":  # before slow imports
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
from pipeline.dataset.stratified import ImageKeys
from pipeline.prepare.contact_sheet import class_examples
from pipeline.prepare.labelled_images import LabelledImages
from pipeline.prepare.reading import read_chunk
from pipeline.prepare.sources.location import check_locations
from pipeline.prepare.sources.open_source import OpenedSource, open_source
from pipeline.prepare.splits.splitting import make_splits
from pipeline.prepare.usable_images import reading_notes
from pipeline.study.datasets import SOURCES, sized

if TYPE_CHECKING:
    from pipeline.study.schema import OwnSource, Params, Prepare

FOLDER = Path(".state/look")
MOST_READ = 256  # images read of each given split, evenly spread
MOST_CLASSES, MOST_LISTED = 40, 5  # classes drawn; problems listed
DRAWS = 5  # of splits


def main(params: Params) -> None:
    """Inspect every data set of the study."""
    settings = params.prepare
    check_locations(settings)
    for name in settings.datasets:
        for line in look(name, settings, FOLDER):
            print(f"look: {name}: {line}", flush=True)


@dataclass
class _Sample:
    """Sizes, values and problems of the images that were read."""

    count: int = 0
    sizes: list[np.ndarray] = field(default_factory=list)
    low: float = np.inf
    high: float = -np.inf
    means: list[np.ndarray] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    first: dict[int, np.ndarray] = field(default_factory=dict)  # image of a class


def look(name: str, settings: Prepare, folder: Path) -> Iterator[str]:
    """Yield a description of a data set, and draw an image of each class.

    Parameters
    ----------
    name
        The data set.
    settings
        The section of params.yaml.
    folder
        The folder of the picture.

    Raises
    ------
    UserError
        As in the preparation, except for bad images, which are listed.
    """
    known = sized(name, settings.sources)[0]
    if known in SOURCES:
        yield f"{SOURCES[known].title}: a published data set, which needs no check"
        return
    own = settings.sources[known]
    scratch = folder / name
    scratch.mkdir(parents=True, exist_ok=True)
    opened = open_source(name, settings, scratch)
    counts = {split: np.bincount(images.labels) for split, images in opened.given.items()}
    total, names = sum(map(len, opened.given.values())), opened.source.class_names
    yield f"{own.kind} {own.path}: {total:,} images in {len(names):,} classes"
    yield _splits(opened, settings)
    for label in range(min(len(names), MOST_CLASSES)):
        yield f"class {label}: {names[label]}: {_counts(counts, label)}"
    if len(names) > MOST_CLASSES:
        yield f"and {len(names) - MOST_CLASSES:,} more classes"
    small = list(_too_small(counts, names))
    yield from small or _refused_draw(opened, settings)
    yield from _left_out(opened)
    sample = _Sample()
    for images in opened.given.values():
        _read(images, opened, sample)
    yield from _images(sample, own.fit)
    if opened.survey is not None:
        chosen = {"skipped": {"count": 0}, "stored_values": {"auto": opened.survey.facts()}}
        yield from reading_notes(chosen, total)
    if sample.first:
        path = folder / f"{name}.png"
        shown = sorted(sample.first)[:MOST_CLASSES]
        titles = [f"{names[label]}\n{_counts(counts, label)}" for label in shown]
        write_bytes(
            path, class_examples(_title(name, own), [sample.first[i] for i in shown], titles)
        )
        yield f"one image of each class: {path}"


def _title(name: str, own: OwnSource) -> str:
    first = f", channels 1 to 3 of {own.channels}" if own.channels > 3 else ""
    return f"{name}: one image of each class, {own.side}x{own.side}{first}"


def _counts(counts: dict[str, np.ndarray], label: int) -> str:
    if list(counts) == ["all"]:
        return f"{counts['all'][label]:,} images"
    given = [split for split in SPLITS if split in counts]
    return ", ".join(f"{counts[split][label]:,} {split}" for split in given)


def _splits(opened: OpenedSource, settings: Prepare) -> str:
    sizes = {split: len(images) for split, images in opened.given.items()}
    drawn = f"validation ({settings.validation_fraction:.0%})"
    if "all" in sizes:
        return f"splits: made: {drawn} and test ({settings.test_fraction:.0%}) are drawn"
    given = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    more = "" if "validation" in sizes else f"; {drawn} is drawn from train"
    return f"splits: given: {given}{more}"


def _too_small(counts: dict[str, np.ndarray], names: Sequence[str]) -> Iterator[str]:
    """Name classes with fewer images than splits to draw."""
    padded = [np.pad(split, (0, len(names) - len(split))) for split in counts.values()]
    totals = np.sum(padded, axis=0)
    drawn = {"all": 3, "train": 1 if "validation" in counts else 2}
    small = {
        label
        for split, found in counts.items()
        for label in np.flatnonzero(found < drawn.get(split, 1)).tolist()
    }
    for label in sorted(small)[:MOST_LISTED]:
        yield (
            f"too few for every split: {names[label]} ({totals[label]:,}): add images, or set "
            f"min_count: {totals[label] + 1} to leave such classes out"
        )
    if len(small) > MOST_LISTED:
        yield f"and {len(small) - MOST_LISTED:,} more classes that are too small"


def _refused_draw(opened: OpenedSource, settings: Prepare) -> Iterator[str]:
    """Draw the splits of images with groups, without reading any, and say why that is refused.

    `prepare` draws in an order that depends on the pixels, so that this tries several orders.
    """
    if any(images.groups is None for images in opened.given.values()):
        return
    labels = np.concatenate([images.labels for images in opened.given.values()])
    numbers = iter(range(len(labels)))  # instead of hashes: no two images count as equal
    keys = {
        split: ImageKeys(images.labels, np.fromiter(numbers, int, len(images)), images.groups)
        for split, images in opened.given.items()
    }
    totals = np.bincount(labels, minlength=opened.source.classes).tolist()
    classes = list(zip(opened.source.class_names, totals, strict=True))
    for seed in range(DRAWS):
        try:
            make_splits(
                keys,
                np.random.default_rng(seed),
                validation_fraction=settings.validation_fraction,
                test_fraction=settings.test_fraction,
                allow_leaks=settings.allow_leaks,
                classes=classes,
            )
        except UserError as error:
            yield f"prepare may refuse the splits: {error}"
            return


def _left_out(opened: OpenedSource) -> Iterator[str]:
    for what in ("classes_left_out", "files_left_out"):
        for kind, count in opened.facts.get(what, {}).items():
            yield f"{what.replace('_', ' ')}: {kind} ({count:,})"
    yield from opened.facts.get("notes", [])
    groups = [split.groups for split in opened.given.values() if split.groups is not None]
    if groups:
        yield f"groups: {len(np.unique(np.concatenate(groups))):,}, each kept in one split"


def _read(images: LabelledImages, opened: OpenedSource, sample: _Sample) -> None:
    """Read the first good image of each class, and others spread over a given split."""
    labels, done = images.labels, set()
    for label in range(min(opened.source.classes, MOST_CLASSES)):
        for place in np.flatnonzero(labels == label)[:MOST_LISTED].tolist():
            if label not in sample.first:
                done.add(place)
                image = _read_one(images, place, sample)
                if image is not None:
                    sample.first[label] = image
    spread = np.linspace(0, len(labels) - 1, min(MOST_READ, len(labels))).astype(int)
    for place in sorted(set(spread.tolist()) - done):
        _read_one(images, place, sample)


def _read_one(images: LabelledImages, place: int, sample: _Sample) -> np.ndarray | None:
    """Read one image and add it, or its problem, to the sample."""
    try:
        chunk = read_chunk(images.images, place, place + 1)
        problems = list(chunk.problems.values())
    except UserError as error:
        problems = list(error.problems)
    if problems:
        sample.problems += problems
        return None
    image: np.ndarray = chunk.images[0]
    sample.count += 1
    sample.sizes.append(np.empty((0, 2)) if chunk.sizes is None else chunk.sizes)
    sample.low, sample.high = min(sample.low, image.min()), max(sample.high, image.max())
    sample.means.append(image.mean((1, 2), dtype=np.float64))
    return image


def _images(sample: _Sample, fit: str) -> Iterator[str]:
    if sample.count:
        sizes = np.concatenate(sample.sizes).astype(int)
        (top, left), (bottom, right) = sizes.min(0), sizes.max(0)
        channels = ", ".join(f"{mean:.3g}" for mean in np.mean(sample.means, 0))
        yield (
            f"of {sample.count:,} images inspected: height {top} to {bottom}, width {left} to "
            f"{right} ({fit}); values {sample.low:g} to {sample.high:g}, mean by channel {channels}"
        )
    for text in sample.problems[:MOST_LISTED]:
        yield f"bad image: {text}"
    if len(sample.problems) > MOST_LISTED:
        yield f"and {len(sample.problems) - MOST_LISTED:,} more bad images among these"
