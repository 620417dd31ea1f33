"""Stage 1: turn raw sources into fixed, disjoint splits with a card, in data/prepare/.

Every image is read once into an array next to the output, in chunks, so that an interrupted
preparation is resumed; splits are drawn from labels and hashes alone, then written in one pass.
Memory does not depend on the number of images.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import (
    explaining,
    file_sha256,
    replacing_folder,
    write_array,
    write_json,
)
from pipeline.common.locks import try_lock
from pipeline.common.progress import StepProgress, wrapped
from pipeline.common.units import duration
from pipeline.dataset import load_dataset
from pipeline.dataset.pixel_statistics import PixelStatistics
from pipeline.dataset.store import GROUP_NAMES, SPLITS, group_file, split_files
from pipeline.dataset.turning import shrink, turn
from pipeline.prepare.borders import entering_pixels, entering_words
from pipeline.prepare.card import describe, describe_reading
from pipeline.prepare.contact_sheet import SHOWN, write_pictures
from pipeline.prepare.images.signatures import hint_of
from pipeline.prepare.labelled_images import check_given
from pipeline.prepare.reading import StoredSplit, store_split
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.sources.location import check_locations
from pipeline.prepare.sources.open_source import OpenedSource, open_source
from pipeline.prepare.splits.splitting import Selection, group_notes, make_splits, subsample
from pipeline.prepare.symmetry.of_dataset import symmetry_of
from pipeline.prepare.usable_images import reading_notes, usable_images, writing_notes
from pipeline.prepare.writing import write_images
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.schema import Params, Prepare
from pipeline.study.source import Source
from pipeline.study.symmetry import findings, recommendation

OUTPUT = Path("data/prepare")

# Independent random streams of one seed.
# 4 draws the images of glyphs.
_SPLITS, _ANGLES, _TRAIN, _TEST, _SYMMETRY = 0, 1, 2, 3, 5
# Parameters that the card repeats.
_RECORDED = (
    "seed", "validation_fraction", "test_fraction", "train_fraction", "images_per_class",
    "test_images",
)  # fmt: skip
_TURNING = (
    "test_turned: each test image about its centre by its own uniform angle, anticlockwise, "
    "bilinear; what leaves the square is cut off, what enters it is "
)


def main(params: Params) -> None:
    """Prepare every data set of the study."""
    check_locations(params.prepare)
    prepare_all(params.prepare, OUTPUT)


def prepare_all(settings: Prepare, output: Path) -> None:
    """Write one folder a data set; the output appears when all of them are complete."""
    begun = time.monotonic()
    with work_folder(output) as work:
        with replacing_folder(output) as aside:
            for name in settings.datasets:
                prepare_dataset(name, settings, aside / name, work / name)
        shutil.rmtree(work, ignore_errors=True)
    for name in settings.datasets:
        counts = load_dataset(output / name, SPLITS, verify=True).card["counts"]
        found = ", ".join(f"{counts[split]['total']:,} {split}" for split in SPLITS[:3])
        _say(name, f"{found} images, checked, in {output / name}")
    # Not in a card: the same input gives the same bytes, however long it takes.
    print(f"prepare: done after {duration(time.monotonic() - begun)}", flush=True)


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Lock the folder next to the output that keeps images between interrupted preparations."""
    work = output.with_name(f".{output.name}.work.tmp")
    with explaining(work):
        work.mkdir(parents=True, exist_ok=True)
        handle = os.open(work, os.O_RDONLY)
    try:
        if not try_lock(handle, work):
            raise UserError(
                f"{output}: another process is preparing it: wait for that, or end it first"
            )
        yield work
    finally:
        os.close(handle)


def prepare_dataset(name: str, settings: Prepare, folder: Path, work: Path) -> None:
    """Read, check, split and turn one data set, and write it with its card."""
    with explaining(work):
        work.mkdir(exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    per_class = sized(name, settings.sources)[1]
    if per_class is not None:
        limits = {"images_per_class": per_class, "train_fraction": 1}
        settings = settings.model_copy(update=limits)
    _say(name, "opening")
    opened = open_source(name, settings, work)
    if opened.outside is not None:
        # Parameters may come from somebody else: files outside the project are named.
        _say(name, f"reads {plain_name(opened.outside)}, which is outside this project")
    check_given(opened.given, opened.source)
    for what in ("classes_left_out", "files_left_out"):
        for kind, count in opened.facts.get(what, {}).items():
            _say(name, f"{what.replace('_', ' ')}: {kind} ({count:,}){hint_of(kind)}")
    for note in opened.facts.get("notes", []):
        _say(name, note)
    total = sum(map(len, opened.given.values()))
    _say(name, f"reading {total:,} images")
    stored = {
        split: store_split(images, split, opened.source, work)
        for split, images in opened.given.items()
    }
    usable = usable_images(opened.source, opened.given, stored)
    if opened.survey is not None:
        arrays = {split: one.images for split, one in stored.items()}
        opened = replace(opened, borders=entering_pixels(arrays, usable))
        _say(name, f"what enters turned images: {entering_words(opened.background)}")
    for line in reading_notes(describe_reading(opened, stored), total):
        _say(name, line)
    splits = _draw_splits(settings, stored, usable, _classes(opened))
    for line in group_notes(opened.given, splits):
        _say(name, line)
    _say(name, f"writing {sum(map(len, splits.values())):,} images and the turned test")
    _write(opened, settings, splits, stored, folder)


def _draw_splits(
    settings: Prepare,
    stored: dict[str, StoredSplit],
    usable: dict[str, np.ndarray],
    classes: Sequence[tuple[str, int]],
) -> dict[str, Selection]:
    """Draw the splits among the usable images."""
    splits = make_splits(
        {name: stored[name].keys.take(indices) for name, indices in usable.items()},
        _generator(settings.seed, _SPLITS),
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        allow_leaks=settings.allow_leaks,
        classes=classes,
    )
    splits = {
        name: replace(split, indices=usable[split.given][split.indices])
        for name, split in splits.items()
    }
    splits["train"] = subsample(
        splits["train"],
        _labels(splits["train"], stored),
        settings.seed,
        fraction=settings.train_fraction,
        per_class=settings.images_per_class,
        stream=_TRAIN,
        classes=classes,
    )
    if settings.test_images is not None:
        test = splits["test"]
        share = settings.test_images / len(test)
        labels = _labels(test, stored)
        splits["test"] = subsample(test, labels, settings.seed, fraction=share, stream=_TEST)
    return splits


def _labels(split: Selection, stored: dict[str, StoredSplit]) -> np.ndarray:
    return stored[split.given].keys.labels[split.indices]


def _classes(opened: OpenedSource) -> list[tuple[str, int]]:
    """Name and number of images of each class, where classes have names."""
    labels = np.concatenate([images.labels for images in opened.given.values()])
    counts = np.bincount(labels, minlength=opened.source.classes).tolist()
    names = opened.source.class_names
    return list(zip(names, counts, strict=True)) if names else []


def _write_groups(opened: OpenedSource, name: str, split: Selection, folder: Path) -> None:
    """Write the group of every image of a split, where the data have groups."""
    given = opened.given[split.given]
    if given.groups is not None:
        write_array(folder / group_file(name), given.groups[split.indices])
        write_json(folder / GROUP_NAMES, list(given.group_names))


def _write(
    opened: OpenedSource,
    settings: Prepare,
    splits: dict[str, Selection],
    stored: dict[str, StoredSplit],
    folder: Path,
) -> None:
    """Write the arrays, the pictures and the card."""
    source, test = opened.source, splits["test"]
    files: dict[str, Any] = {}
    statistics: dict[str, PixelStatistics] = {}
    factor = settings.shrink if sized(source.name, settings.sources)[0] in SOURCES else 1
    progress = StepProgress(source.name, "writing", sum(map(len, splits.values())) + len(test))

    def write(name: str, split: Selection, degrees: np.ndarray | None) -> None:
        images, file = stored[split.given].images, f"{name}_images.npy"
        channels, height, width = images.shape[1:]
        shape = (channels, height // factor, width // factor)
        shown = SHOWN if name == "train" else 0
        statistics[name] = PixelStatistics(source.classes, shape, images.dtype, shown)
        files[file] = write_images(
            folder / file,
            images,
            _labels(split, stored),
            split.indices,
            _transform(degrees, factor, opened.background),
            statistics[name],
            progress.add,
        )

    for name, split in splits.items():
        angles = opened.given[split.given].degrees
        write(name, split, None if angles is None else angles[split.indices])
        write_array(folder / split_files(name)[1], _labels(split, stored))
        _write_groups(opened, name, split, folder)
    degrees = _generator(settings.seed, _ANGLES).uniform(0, 360, len(test))
    write("test_turned", test, degrees)  # from upright images: interpolated only once
    del statistics["test_turned"]
    write_array(folder / "test_angles.npy", degrees)
    shown = (stored[test.given].images, test.indices, _labels(test, stored))
    means = statistics["train"].class_means()
    write_pictures(source, shown, degrees, factor, means, opened.background, folder)
    for path in folder.iterdir():
        if path.name not in files:
            files[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    card = {
        **describe(opened, splits, stored, statistics),
        **{key: getattr(settings, key) for key in _RECORDED},
        "shrink": factor,
        "turning": _TURNING + entering_words(opened.background),
        "symmetry": _symmetry(source, settings, folder),
        "files": files,
    }
    write_json(folder / "card.json", card)
    for line in writing_notes(card):
        _say(source.name, line)


def _symmetry(source: Source, settings: Prepare, folder: Path) -> dict[str, Any]:
    """Return what is known of the symmetry of a data set, and say what was measured."""
    symmetry: dict[str, Any] = {"labels": source.symmetry or None, "measured": None}
    if settings.symmetry_test:
        _say(source.name, "measuring whether images and labels have an orientation")
        generator = _generator(settings.seed, _SYMMETRY)
        symmetry["measured"] = symmetry_of(folder, source.classes, generator)
        for line in (*findings(symmetry), recommendation(symmetry)):
            _say(source.name, line)
    return symmetry


def _transform(
    degrees: np.ndarray | None, factor: int, background: float | str
) -> Callable[[np.ndarray, slice], np.ndarray] | None:
    """Return what is applied to the images of a split: turned first, then made smaller."""
    if degrees is None:
        return None if factor == 1 else lambda images, batch: shrink(images, factor)
    return lambda images, batch: shrink(turn(images, degrees[batch], background), factor)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _say(name: str, text: str) -> None:
    print(wrapped(f"prepare: {name}: {text}"), flush=True)
