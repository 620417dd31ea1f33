"""Read a user's folder of images: a sub-folder for each class, within given splits or not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.prepare.images.decode import SUFFIXES
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.labels.classes import LabelledSource, number_classes
from pipeline.prepare.sources.folder_layout import find_layout
from pipeline.prepare.sources.folder_tree import (
    SYSTEM_FILES,
    are_thumbnails,
    count_files,
    is_system_file,
)
from pipeline.prepare.sources.image_files import EncodedImages, plain_name
from pipeline.prepare.splits.group_pattern import groups_found


@dataclass(frozen=True)
class _File:
    path: Path
    name: str
    size: int
    changed: int


def read(
    path: Path,
    target: Target,
    *,
    splits: str | None,
    min_count: int,
    group_pattern: str | None,
    skip: bool,
) -> LabelledSource:
    """List a folder; images are decoded when they are read.

    Parameters
    ----------
    path
        The folder: ``<class>/**/<image>``, or ``<split>/<class>/**/<image>``; folders that only
        wrap others are skipped.
    target
        What every image becomes.
    splits
        See `pipeline.prepare.sources.folder_layout.find_layout`.
    min_count
        Classes with fewer images are left out.
    group_pattern
        A regular expression found in each image's path below the class; its first group, or
        what it matches, names the image's group.
    skip
        Whether bad images are left out and listed.

    Raises
    ------
    UserError
        For another layout.
    """
    layout = find_layout(path, splits)
    listed: dict[str, list[tuple[_File, str, Path]]] = {}
    ignored: Counter[str] = Counter()
    for folder in {path, *layout.loose}:
        ignored.update(_outside_classes(folder))
    ignored["images outside a class"] = sum(len(_loose(folder)) for folder in layout.loose)
    for split, classes in layout.classes.items():
        listed[split] = [
            (file, name, label) for name, label in classes for file in _images(label, path, ignored)
        ]
        if not listed[split]:
            raise UserError(f"{plain_name(path)}: {_no_class(len(_loose(path)))}")
    images = {
        split: _reader([file for file, _, _ in rows], target, skip)
        for split, rows in listed.items()
    }
    labelled = number_classes(
        path.name,
        images,
        {split: [label for _, label, _ in rows] for split, rows in listed.items()},
        {split: _groups(rows, group_pattern) for split, rows in listed.items()}
        if group_pattern
        else None,
        min_count=min_count,
        empty=layout.empty,
        notes=layout.notes,
    )
    return replace(labelled, ignored={kind: count for kind, count in ignored.items() if count})


def _no_class(loose: int) -> str:
    """Say that a folder has no image in a sub-folder, and what to do."""
    own = "put each class's images into a folder of their own"
    if not loose:
        return f"holds no image ({', '.join(SUFFIXES)}) in a sub-folder of its class: {own}"
    return (
        f"has images ({loose:,}) but no sub-folder with images: if this is the folder of one "
        f"class, name the folder above it; otherwise {own}"
    )


def _loose(folder: Path) -> list[Path]:
    """Images outside the folders of the classes, whose class is unknown."""
    return [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in SUFFIXES and not is_system_file(entry.name) and entry.is_file()
    ]


def _outside_classes(folder: Path) -> Counter[str]:
    """Count system files and files that are not images outside the folders of the classes."""
    found: Counter[str] = Counter()
    for entry in folder.iterdir():
        if is_system_file(entry.name):
            found[SYSTEM_FILES] += count_files(entry) if entry.is_dir() else 1
        elif entry.is_file() and entry.suffix.lower() not in SUFFIXES:
            found[_kind(entry)] += 1
    return found


def _kind(path: Path) -> str:
    return plain_name(path.suffix.lower()) or "no suffix"


def _images(label: Path, base: Path, ignored: Counter[str]) -> Iterator[_File]:
    """Yield the image files of a class in the same order on every machine, without hidden files.

    Folders and broken links with the name of an image are yielded too: reading them gives the
    message.
    """

    def stop(error: OSError) -> None:
        where = plain_name(error.filename)
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error

    for folder, folders, names in os.walk(label, onerror=stop):
        kept = [
            name
            for name in folders
            if not (is_system_file(name) or are_thumbnails(Path(folder, name), names))
        ]
        called_images = [name for name in kept if Path(name).suffix.lower() in SUFFIXES]
        ignored[SYSTEM_FILES] += sum(
            count_files(Path(folder, name)) for name in set(folders) - set(kept)
        )
        folders[:] = sorted(set(kept) - set(called_images), key=os.fsencode)
        for path in (Path(folder, name) for name in folders):
            if path.is_symlink():  # could be a cycle
                raise UserError(
                    f"{plain_name(path)}: is a link to a folder, and only those of whole classes "
                    "are followed: put the folder itself there, or remove the link"
                )
        for name in sorted([*names, *called_images], key=os.fsencode):
            path = Path(folder, name)
            if is_system_file(name):
                ignored[SYSTEM_FILES] += 1
            elif path.suffix.lower() in SUFFIXES:
                yield _file(path, base)
            else:
                ignored[_kind(path)] += 1


def _file(path: Path, base: Path) -> _File:
    try:
        state = path.stat()
    except OSError:  # reported when it is read
        state = path.lstat()
    return _File(path, plain_name(path.relative_to(base)), state.st_size, state.st_mtime_ns)


def _groups(rows: list[tuple[_File, str, Path]], pattern: str) -> list[str | None]:
    names = [plain_name(file.path.relative_to(label)) for file, _, label in rows]
    return groups_found(pattern, names)


def _reader(files: list[_File], target: Target, skip: bool) -> EncodedImages:
    paths = [file.path for file in files]
    return EncodedImages(
        [plain_name(path) for path in paths],
        lambda start, stop: paths[start:stop],
        target,
        skip=skip,
        identity=[[file.name, file.size, file.changed] for file in files],
    )
