"""Stage 1: raw sources to fixed, disjoint splits with a card, in data/prepare/.

Every image is read once into a pool beside the output, in shards that an interrupted attempt
leaves for the next one; splits are drawn from labels and checksums alone, then written in one pass.
Memory does not depend on how many images there are.
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
from pipeline.common.progress import StepProgress
from pipeline.common.units import duration
from pipeline.dataset.store import SPLITS, load_dataset, split_files
from pipeline.prepare.card import (
    describe_likeness,
    describe_reading,
    describe_splits,
    describe_versions,
)
from pipeline.prepare.contact_sheet import SHOWN
from pipeline.prepare.images.signatures import hint_of
from pipeline.prepare.images.turning import shrink, turn
from pipeline.prepare.parts import check_parts
from pipeline.prepare.pictures import write_pictures
from pipeline.prepare.reading import Pooled, pool_part
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.sources.location import check_places
from pipeline.prepare.sources.open_source import Opened, open_source
from pipeline.prepare.splits.splitting import Listed, Selection, fewer, make_splits
from pipeline.prepare.usable_images import reading_notes, usable_images, writing_notes
from pipeline.prepare.writing import Tally, write_images
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.params import load_params
from pipeline.study.schema import Prepare

__all__ = ["main", "prepare_all", "prepare_dataset"]

OUTPUT = Path("data/prepare")

# Independent streams of one seed: a change to one draw leaves the other as it was.
_SPLITS, _ANGLES, _TRAIN, _TEST = 0, 1, 2, 3
_RECORDED = (
    "seed", "validation_fraction", "test_fraction", "train_fraction", "images_per_class",
    "test_images",
)  # fmt: skip
_TURNING = (
    "test_turned: each test image about its centre by its own uniform angle, anticlockwise, "
    "bilinear; what leaves the square is cut off, what enters it is "
)


def main() -> None:
    """Prepare every data set of the study."""
    settings = load_params().prepare
    check_places(settings)
    prepare_all(settings, OUTPUT)


def prepare_all(settings: Prepare, output: Path) -> None:
    """Write one folder a data set; the output appears when all of them are complete."""
    begun = time.monotonic()
    with _work_folder(output) as work:
        with replacing_folder(output) as aside:
            for name in settings.datasets:
                prepare_dataset(name, settings, aside / name, work / name)
        shutil.rmtree(work, ignore_errors=True)
    for name in settings.datasets:
        counts = load_dataset(output / name, SPLITS, verify=True).card["counts"]
        words = ", ".join(
            f"{counts[split]['total']:,} {split}" for split in ("train", "validation", "test")
        )
        _say(name, f"{words} images, checked, in {output / name}")
    # Not in a card: the same input gives the same bytes, however long it takes.
    print(f"prepare: done after {duration(time.monotonic() - begun)}", flush=True)


@contextmanager
def _work_folder(output: Path) -> Iterator[Path]:
    """Hold the folder beside the output that keeps what an interrupted attempt has read."""
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
        fewer_images = {"images_per_class": per_class, "train_fraction": 1}
        settings = settings.model_copy(update=fewer_images)
    _say(name, "opening")
    opened = open_source(name, settings, work)
    if opened.outside is not None:
        # Parameters may be somebody else's: whose files they make part of a study is said aloud.
        _say(name, f"reads {plain_name(opened.outside)}, which is outside this project")
    check_parts(opened.parts, opened.source)
    for what in ("classes_left_out", "files_left_out"):
        for kind, count in opened.facts.get(what, {}).items():
            _say(name, f"{what.replace('_', ' ')}: {kind} ({count:,}){hint_of(kind)}")
    for note in opened.facts.get("notes", []):
        _say(name, note)
    total = sum(map(len, opened.parts.values()))
    _say(name, f"reading {total:,} images")
    pooled = {
        part: pool_part(images, part, opened.source, work) for part, images in opened.parts.items()
    }
    listed = {
        part: Listed(images.labels, pooled[part].hashes, images.groups)
        for part, images in opened.parts.items()
    }
    usable = usable_images(opened.source, opened.parts, pooled)
    for line in reading_notes(describe_reading(opened, pooled), total):
        _say(name, line)
    splits = _splits(settings, listed, usable, _classes(opened))
    _say(name, f"writing {sum(map(len, splits.values())):,} images and the turned test")
    _write(opened, settings, splits, listed, pooled, folder)


def _splits(
    settings: Prepare,
    listed: dict[str, Listed],
    usable: dict[str, np.ndarray],
    classes: Sequence[tuple[str, int]],
) -> dict[str, Selection]:
    """Draw the splits among the images that can be used."""
    splits = make_splits(
        {part: listed[part].take(indices) for part, indices in usable.items()},
        _generator(settings.seed, _SPLITS),
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        allow_leaks=settings.allow_leaks,
        classes=classes,
    )
    splits = {
        name: replace(split, indices=usable[split.part][split.indices])
        for name, split in splits.items()
    }
    train = splits["train"]
    splits["train"] = fewer(
        train,
        listed[train.part].labels[train.indices],
        settings.seed,
        fraction=settings.train_fraction,
        per_class=settings.images_per_class,
        stream=_TRAIN,
        classes=classes,
    )
    if settings.test_images is not None:
        test = splits["test"]
        labels = listed[test.part].labels[test.indices]
        share = settings.test_images / len(test)
        splits["test"] = fewer(test, labels, settings.seed, fraction=share, stream=_TEST)
    return splits


def _classes(opened: Opened) -> list[tuple[str, int]]:
    """Name and number of images of each class, where they have names."""
    labels = np.concatenate([part.labels for part in opened.parts.values()])
    counts = np.bincount(labels, minlength=opened.source.classes).tolist()
    names = opened.source.class_names
    return list(zip(names, counts, strict=True)) if names else []


def _write(
    opened: Opened,
    settings: Prepare,
    splits: dict[str, Selection],
    listed: dict[str, Listed],
    pooled: dict[str, Pooled],
    folder: Path,
) -> None:
    source = opened.source
    files: dict[str, Any] = {}
    tallies: dict[str, Tally] = {}
    total = sum(map(len, splits.values())) + len(splits["test"])
    progress = StepProgress(source.name, "writing", total)

    factor = settings.shrink if sized(source.name, settings.sources)[0] in SOURCES else 1

    def write(name: str, split: Selection, degrees: np.ndarray | None, shown: int = 0) -> Tally:
        images, labels = pooled[split.part].images, listed[split.part].labels[split.indices]
        channels, height, width = images.shape[1:]
        shape = (channels, height // factor, width // factor)
        tally = Tally(source.classes, shape, images.dtype, shown)
        files[f"{name}_images.npy"] = write_images(
            folder / f"{name}_images.npy",
            images,
            labels,
            split.indices,
            _changing(degrees, factor, opened.ground),
            tally,
            progress.add,
        )
        return tally

    for name, split in splits.items():
        given = opened.parts[split.part].degrees
        degrees = None if given is None else given[split.indices]
        tallies[name] = write(name, split, degrees, SHOWN if name == "train" else 0)
        write_array(folder / split_files(name)[1], listed[split.part].labels[split.indices])
    test = splits["test"]
    degrees = _generator(settings.seed, _ANGLES).uniform(0, 360, len(test))
    write("test_turned", test, degrees)  # from upright images: interpolated only once
    write_array(folder / "test_angles.npy", degrees)
    shown = (pooled[test.part].images, test.indices, listed[test.part].labels[test.indices])
    means = tallies["train"].class_means()
    write_pictures(source, shown, degrees, factor, means, opened.ground, folder)
    for path in folder.iterdir():
        if path.name not in files:
            files[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    card = {
        **describe_splits(source, tallies, str(pooled[test.part].images.dtype)),
        **opened.facts,
        **describe_reading(opened, pooled),
        **describe_likeness(source, splits, listed, pooled),
        "given_parts": {name: len(part) for name, part in opened.parts.items()},
        "groups": any(part.groups is not None for part in listed.values()),
        **{key: getattr(settings, key) for key in _RECORDED},
        "shrink": factor,
        "turning": _TURNING + _entering(opened.ground),
        "files": files,
        "versions": describe_versions(),
    }
    write_json(folder / "card.json", card)
    for line in writing_notes(card):
        _say(source.name, line)


def _changing(
    degrees: np.ndarray | None, factor: int, ground: float | str
) -> Callable[[np.ndarray, slice], np.ndarray] | None:
    """What happens to images on their way into a split: turned first, then made smaller."""
    if degrees is None:
        return None if factor == 1 else lambda images, some: shrink(images, factor)
    return lambda images, some: shrink(turn(images, degrees[some], ground), factor)


def _entering(ground: float | str) -> str:
    if isinstance(ground, str):
        return "the nearest pixel"
    return f"{ground:g} from black (0) to white (1)" if ground else "zero"


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _say(name: str, text: str) -> None:
    print(f"prepare: {name}: {text}", flush=True)
