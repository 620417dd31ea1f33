"""Make a study of a folder of images: what its images are like decides what is written."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import replacing_folder
from pipeline.prepare.labelled_images import LabelledImages
from pipeline.prepare.reading import read_chunk
from pipeline.prepare.sources.folder_tree import is_system_file
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.sources.open_source import OpenedSource, open_source
from pipeline.study.data_schema import OwnSource, Prepare
from pipeline.study.symmetry import compared_groups, findings, recommendation
from pipeline.tools.support.repeated_names import Beginnings, repeated_beginnings

__all__ = ["link_files", "names_say", "settings_of", "study_text", "without_groups"]

MOST_READ = 256  # images that decide about size and colour
LARGEST = 32  # pixels: larger images make studies of hours
GRID = 4  # pixels: poolings and patches divide its multiples; the template says so
STEPS = 600  # of a training, as far as that is at most MOST_EPOCHS
BATCH, LEAST_EPOCHS, MOST_EPOCHS = 32, 8, 60
UNEVEN = 3  # a class that has so many times the images of another makes the loss balanced
WIDTH = 100  # of the lines of comments
_SPLITS = ("train", "validation", "test")
TEMPLATE = Path(__file__).with_name("study_of_folder.yaml")


def settings_of(name: str, folder: Path) -> tuple[Prepare, Beginnings | None]:
    """Return the section `prepare` for a folder of images, and how groups of names begin.

    Raises
    ------
    UserError
        It is no folder with a sub-folder of images for each class.
    """
    if not folder.is_dir():
        raise UserError(
            f"{plain_name(folder)}: is no folder; name one with a sub-folder of images for each "
            "class"
        )
    opened, splits = _opened(name, folder)
    sizes, grey = _sample(opened)
    names = [images.group_names[at] for images in opened.given.values() for at in _groups(images)]
    labels = [label for images in opened.given.values() for label in images.labels.tolist()]
    beginnings = repeated_beginnings(names, labels)
    side = int(np.median(sizes.min(1)))
    square = bool((sizes[:, 0] == sizes[:, 1]).all())
    settings = _settings(
        name, folder, splits,
        size=min(LARGEST, max(2 * GRID, side // GRID * GRID)),
        fit="resize" if square else "crop",
        channels=1 if grey else 3,
        group_pattern=beginnings.pattern if beginnings and beginnings.numbered else None,
    )  # fmt: skip
    return settings, beginnings


def without_groups(name: str, settings: Prepare) -> Prepare:
    """Return the section without a pattern of groups."""
    own = settings.sources[name].model_copy(update={"group_pattern": None})
    return settings.model_copy(update={"sources": {name: own}})


def _groups(images: LabelledImages) -> list[int]:
    assert images.groups is not None
    return images.groups.tolist()


def _settings(name: str, folder: Path, splits: str | None, **options: Any) -> Prepare:
    given = {} if splits is None else {"splits": splits}
    own = OwnSource(kind="folder", path=str(folder), on_bad_image="skip", **given, **options)
    return Prepare(
        datasets=(name,), seed=0, validation_fraction=0.15, test_fraction=0.25, sources={name: own}
    )


def _opened(name: str, folder: Path) -> tuple[OpenedSource, str | None]:
    """Open a folder; splits that it names are kept where they can be.

    The group of each image is its whole path below the folder of its class.
    """
    with tempfile.TemporaryDirectory() as scratch:
        refused: UserError | None = None
        for splits in (None, "given"):
            options = {"size": LARGEST, "fit": "resize", "channels": 3, "group_pattern": ".*"}
            try:
                settings = _settings(name, folder, splits, **options)
                return open_source(name, settings, Path(scratch)), splits
            except UserError as error:
                refused = refused or error
    assert refused is not None
    raise refused


def _sample(opened: OpenedSource) -> tuple[np.ndarray, bool]:
    """Return heights and widths of some images, and whether all of them are grey."""
    sizes, grey = [], True
    problems: list[str] = []
    for images in opened.given.values():
        spread = np.linspace(0, len(images) - 1, min(MOST_READ, len(images))).astype(int)
        for place in np.unique(spread).tolist():
            chunk = read_chunk(images.images, place, place + 1)
            if not chunk.problems and chunk.sizes is not None:
                sizes.append(chunk.sizes[0])
                grey = grey and bool((chunk.images == chunk.images[:, :1]).all())
            problems += chunk.problems.values()
    if not sizes:
        raise UserError(
            f"{opened.source.name}: none of the images inspected can be read; the first: "
            f"{problems[0]}"
        )
    return np.array(sizes), grey


def link_files(folder: Path, place: Path) -> None:
    """Fill a new folder with links to all files of another; with copies where DVC needs those."""
    copies = sys.platform != "linux"
    with replacing_folder(place) as aside:
        for where, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [name for name in folders if not is_system_file(name)]
            target = aside / Path(where).relative_to(folder)
            target.mkdir(exist_ok=True)
            for name in names:
                source = Path(where, name).resolve()
                if not is_system_file(name) and source.exists():
                    (shutil.copyfile if copies else _link)(source, target / name)


def holds_links_to(folder: Path, place: Path) -> bool:
    """Whether a folder is what `link_files` made of another, before it was interrupted."""
    files = [path for path in place.rglob("*") if path.is_symlink() or not path.is_dir()]
    inside = folder.resolve()
    return bool(files) and all(
        path.is_symlink() and inside in path.resolve().parents for path in files
    )


def _link(source: Path, place: Path) -> None:
    place.symlink_to(source)


def study_text(
    name: str,
    place: Path,
    settings: Prepare,
    card: Mapping[str, Any],
    beginnings: Beginnings | None,
    estimates: Sequence[str] = (),
) -> str:
    """Write the study as YAML, with comments that say what was found and chosen."""
    own, counts = settings.sources[name], np.array(card["counts"]["train"]["classes"])
    groups, augment = compared_groups(card["symmetry"])
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, -(-STEPS * BATCH // int(counts.sum()))))
    uneven = counts.max() >= UNEVEN * max(1, counts.min())
    made = f"Found by `new` at size {own.size}; `prepare` prints what holds after a change:"
    symmetry = (made, *findings(card["symmetry"]), recommendation(card["symmetry"]))
    values = {
        "name": name,
        "path": _quoted(place.as_posix()),
        "size": own.size,
        "fit": own.fit,
        "channels": own.channels,
        "splits": f"\n      splits: {own.splits} # as the folder has them"
        * (own.splits == "given"),
        "group_pattern": _group_pattern(own.group_pattern, beginnings),
        "found": _comment(_found(card, own), ""),
        "estimates": _comment([line for line in estimates if line.startswith("time")], ""),
        "symmetry": _comment(symmetry, "  "),
        "groups": ", ".join(groups),
        "augment": "none" if augment == "none" else f"none, {augment}",
        "skip": _skip(groups, augment),
        "epochs": epochs,
        "weights": "balanced" if uneven else "none",
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)


def _group_pattern(chosen: str | None, beginnings: Beginnings | None) -> str:
    """Write the line of the pattern, a comment where none was chosen, and what it does."""
    if chosen is not None:
        return (
            f"group_pattern: {_quoted(chosen)} # images whose names have the same beginning "
            "stay in one split, as of one patient or slide"
        )
    pattern = _quoted("^(.+?)_" if beginnings is None else beginnings.pattern)
    return f"# group_pattern: {pattern} # images of one patient, slide or person stay in one split"


def _skip(groups: Sequence[str], augment: str) -> str:
    if augment == "none":
        return ""
    return (
        f"\n  skip:\n    - {{augment: {augment}, group: [{', '.join(groups[1:])}]}} "
        "# the rival of exact symmetry is a network without it"
    )


def names_say(settings: OwnSource, beginnings: Beginnings | None) -> Iterator[str]:
    """Say what names of images say about groups, if they say it."""
    if beginnings is None:
        yield (
            "names of images show no patients or slides: if several images are of one, write "
            "group_pattern (docs/data.md), or the test is too easy"
        )
        return
    found = (
        f"the names of images have {beginnings.count:,} beginnings, the first "
        f"{beginnings.example!r}, and several images share each"
    )
    if settings.group_pattern is None:
        first = "do what the line above says, then " if beginnings.numbered else ""
        yield (
            f"{found}: if images with the same beginning are of one patient or slide, {first}"
            "uncomment the line group_pattern in params.yaml, or the test is too easy"
        )
    else:
        yield (
            f"{found}, as images of one patient or slide do: those with the same beginning stay "
            "in one split (group_pattern in params.yaml)"
        )


def _found(card: Mapping[str, Any], own: OwnSource) -> Iterator[str]:
    """Say in sentences what the images are like."""
    yield f"Found by `new` at size {own.size}; comments do not follow later changes of this file:"
    totals = {split: card["counts"][split]["total"] for split in _SPLITS}
    classes = np.sum([found["classes"] for found in card["counts"].values()], axis=0)
    names = [
        f"{label} {count:,}" for label, count in zip(card["class_names"], classes, strict=True)
    ]
    more = f", and {len(names) - 12} more" if len(names) > 12 else ""
    yield f"{int(classes.sum()):,} images in {len(names):,} classes: {', '.join(names[:12])}{more}."
    yield "Splits: " + ", ".join(f"{count:,} {split}" for split, count in totals.items()) + "."
    sizes = card.get("sizes_before")
    if sizes:
        heights, widths = ("{} to {}".format(*sizes[side]) for side in ("height", "width"))
        yield f"Heights {heights}, widths {widths} pixels."
    if card["skipped"]["count"]:
        bad = plain_name(card["skipped"]["images"][0])
        count = f"{card['skipped']['count']:,}"
        yield f"Images that cannot be read and are left out: {count}, for example {bad}."


def _comment(lines: Sequence[str] | Iterator[str], indent: str) -> str:
    """Write lines as comments of at most `WIDTH` letters each, where words allow it."""
    written = []
    for line in lines:
        row = f"{indent}#"
        for word in line.split():
            if len(row) + 1 + len(word) > WIDTH:
                written.append(row)
                row = f"{indent}#  "
            row += f" {word}"
        written.append(row)
    return "\n".join(written)


def _quoted(path: str) -> str:
    """Write a path so that YAML reads the same text."""
    return "'" + path.replace("'", "''") + "'"
