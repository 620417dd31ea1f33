"""Rules of `prepare`: data sets that are known, sources that fit their kind, splits with images."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.common.spelling import nearest
from pipeline.study.cells import pairs
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.messages import KeyPath, Problem
from pipeline.study.schema import OwnSource, Params

__all__ = ["DATA_RULES"]

# Keys of an own source that mean something for one kind alone.
ONLY_OF = {
    "group_pattern": "folder",
    "image_column": "parquet",
    "label_column": "parquet",
    "group_column": "parquet",
}
MIN_TRAIN_FRACTION = 0.1
MIN_SIZE = 4  # pixels of height and width


def _datasets(params: Params) -> Iterator[Problem]:
    known = [*SOURCES, *params.prepare.sources]
    for index, name in enumerate(params.prepare.datasets):
        if sized(name, known)[0] not in known:
            yield Problem(
                ("prepare", "datasets", index),
                f"got {name!r}",
                f"{', '.join(known)}, one of them with a number of training images a class "
                f"({known[0]}-20), or a name of your own that prepare.sources describes",
                nearest(name, known),
            )


def _own_sources(params: Params) -> Iterator[Problem]:
    for name, own in params.prepare.sources.items():
        path: KeyPath = ("prepare", "sources", name)
        if name in SOURCES:
            yield Problem(path, "the name of a known data set", "a name of your own")
        for key, kind in ONLY_OF.items():
            if own.kind != kind and key in own.model_fields_set:
                yield Problem((*path, key), f"set with kind: {own.kind}", f"only kind: {kind}")
        yield from _pad_value(path, own)
        if own.kind != "arrays" and own.channels not in (1, 3):
            accepts = "1 or 3, or up to 64 with kind: arrays"
            yield Problem((*path, "channels"), f"got {own.channels}", accepts)
        if own.group_pattern is not None:
            try:
                re.compile(own.group_pattern)
            except (re.error, RecursionError, OverflowError) as error:
                fault = f"got {own.group_pattern!r}, which is no regular expression ({error})"
                yield Problem((*path, "group_pattern"), fault, "a regular expression")


def _pad_value(path: KeyPath, own: OwnSource) -> Iterator[Problem]:
    path, value = (*path, "pad_value"), own.pad_value
    if "pad_value" in own.model_fields_set and not own.framed:
        yield Problem(path, f"set with fit: {own.fit}", "only fit: pad, or a rectangle as size")
    elif isinstance(value, str):
        return
    elif own.dtype == "float32" and value > 1:
        yield Problem(path, f"got {value} with dtype: float32", "edge or a number from 0 to 1")
    elif own.dtype == "uint8" and value != int(value):
        yield Problem(
            path, f"got {value} with dtype: uint8", "edge or a whole number from 0 to 255"
        )


def _fewer_images(params: Params) -> Iterator[Problem]:
    prepare = params.prepare
    if prepare.images_per_class is not None and prepare.train_fraction != 1:
        yield Problem(
            ("prepare", "images_per_class"),
            f"got {prepare.images_per_class} with train_fraction {prepare.train_fraction:g}",
            "one of the two",
        )


def _shrink(params: Params) -> Iterator[Problem]:
    factor = params.prepare.shrink
    for dataset in params.prepare.datasets:
        source = params.prepare.known_source(dataset)
        size, name = (source.image_size, source.name) if source else (factor, dataset)
        if size % factor or size // factor < MIN_SIZE <= size:
            found = [k for k in range(1, size // MIN_SIZE + 1) if size % k == 0]
            yield Problem(
                ("prepare", "shrink"),
                f"got {factor}, but {name} has {size}x{size} pixels",
                f"one of {', '.join(map(str, found))}",
            )


def _splits(params: Params) -> Iterator[Problem]:
    prepare = params.prepare
    train = 1 - prepare.validation_fraction - prepare.test_fraction
    if train < MIN_TRAIN_FRACTION - 1e-9:
        most = 1 - MIN_TRAIN_FRACTION - prepare.validation_fraction
        yield Problem(
            ("prepare", "test_fraction"),
            f"got {prepare.test_fraction:g} with validation_fraction "
            f"{prepare.validation_fraction:g}, which leaves {max(train, 0):.0%} for training",
            f"a number up to {most:.2g}" if most > 0 else "less with a smaller validation_fraction",
        )


def _later_splits(params: Params) -> Iterator[Problem]:
    """Other splits are drawn from the prepared images, each of which must be able to test."""
    prepare, count = params.prepare, params.confirm.splits
    path: KeyPath = ("confirm", "splits")
    for name in prepare.datasets if count > 1 else ():
        known, per_class = sized(name, prepare.sources)
        own, source = prepare.sources.get(known), prepare.known_source(name)
        given = own.splits == "given" if own else source is not None and source.given[0][0] != "all"
        if given:
            fault = f"got {count}, but the source of {name} says which images are its test"
            yield Problem(path, fault, "1 with such a data set, whose seeds can be more")
        elif per_class is not None:
            fault = f"got {count}, but {name} has so many training images of each class"
            yield Problem(path, fault, "1 with such a data set; sweep.training_images is possible")
    for key in ("images_per_class", "shrink") if count > 1 else ():
        if (value := getattr(prepare, key)) not in (None, 1):
            yield Problem(path, f"got {count} with prepare.{key}: {value}", f"1 with prepare.{key}")


def training_images(params: Params, dataset: str) -> int | None:
    """Most training images that a known data set can have; None for a source of the user's."""
    prepare = params.prepare
    source, (_, per_class) = prepare.known_source(dataset), sized(dataset, prepare.sources)
    if source is None:
        return None
    given = dict(source.given)
    if "all" in given:
        left = given["all"] * (1 - prepare.validation_fraction - prepare.test_fraction)
    elif "validation" in given:
        left = given["train"]
    else:
        left = given["train"] * (1 - prepare.validation_fraction)
    if (per_class := per_class or prepare.images_per_class) is not None:
        return min(int(left) + source.classes, per_class * source.classes)
    return int(left * prepare.train_fraction) + source.classes  # classes are rounded one by one


def _training_images(params: Params) -> Iterator[Problem]:
    """Fewer training images are of every class, and no more than there are."""
    asked = {(cell.training_images, dataset) for dataset, cell in pairs(params)}
    for index, count in enumerate(params.sweep.training_images):
        for dataset in params.prepare.datasets:
            source, most = params.prepare.known_source(dataset), training_images(params, dataset)
            if source is None or most is None or count is None or (count, dataset) not in asked:
                continue
            least = source.classes
            if not least <= count <= most:
                has = f"{least} classes" if count < least else f"about {most:,} training images"
                fault = f"got {count}, but {dataset} has {has}"
                accepts = f"null (all of them) or a number from {least} to {most}"
                yield Problem(("sweep", "training_images", index), fault, accepts)
                break


DATA_RULES = (
    _training_images, _datasets, _own_sources, _fewer_images, _shrink, _splits, _later_splits,
)  # fmt: skip
