"""Find the classes of a folder of images: in the folder itself, or in folders of given splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.prepare.sources.folder_tree import (
    content_of,
    folders_in,
    folders_with_images,
    holds_images,
    holds_own_images,
)
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.splits.names import is_enough, is_plain, split_of


@dataclass
class Layout:
    """The layout of a folder of images.

    Attributes
    ----------
    classes
        The name and the folder of each class, by split; ``all`` where splits are to be drawn.
    empty
        Content of the folders of classes without an image, by split and class.
    loose
        Folders whose direct images are in no class.
    notes
        Decisions that the user should know.
    """

    classes: dict[str, list[tuple[str, Path]]]
    empty: dict[str, dict[str, str]] = field(default_factory=dict)
    loose: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_layout(path: Path, splits: str | None) -> Layout:
    """Find the classes below a folder.

    Parameters
    ----------
    path
        The folder.
    splits
        ``given`` keeps the splits that the folder names, ``made`` ignores them; with neither,
        folders with the names of splits are refused.

    Raises
    ------
    UserError
        For another layout, and where ``splits`` has to be set.
    """
    notes: list[str] = []
    base = _unwrapped(path, notes)
    tops = [top for top in folders_in(base) if holds_images(top)]
    shape = _shape(tops)
    if splits is None and shape is not None:
        raise UserError(_ask_for_splits(base, tops, shape))
    if splits == "given":
        layout = _given(base, tops, shape)
    elif shape == "above":
        layout = _merged(base, [top for top in tops if split_of(top.name)])
    else:
        layout = _layout({"all": [base]})
        layout.notes += _perhaps_deeper(tops)
    layout.notes[:0] = notes
    return layout


def _shape(tops: list[Path]) -> str | None:
    """Whether splits are above or below classes, or it is unclear which of them a folder is."""
    found = {split_of(top.name) for top in tops} - {None}
    if len(found) > 1:
        return "above"
    if any(len(_splits_below(top)) > 1 for top in tops):
        return "below"
    alone = [top for top in tops if split_of(top.name)]
    return (
        "unclear"
        if any(folders_with_images(top) and not holds_own_images(top) for top in alone)
        else None
    )


def _splits_below(top: Path) -> set[str]:
    """The splits that a class's folder is divided into, if it holds nothing else."""
    found = [split_of(folder.name) for folder in folders_with_images(top)]
    return {split for split in found if split} if None not in found else set()


def _ask_for_splits(base: Path, tops: list[Path], shape: str) -> str:
    if shape == "below":
        example = next(top for top in tops if len(_splits_below(top)) > 1)
        inner = ", ".join(plain_name(folder.name) for folder in folders_with_images(example))
        return (
            f"{plain_name(base)}: its class {plain_name(example.name)} holds the folders {inner}, "
            f"called like splits: {_KEEP_OR_NOT}"
        )
    named = [top for top in tops if split_of(top.name)]
    if shape == "unclear":
        return (
            f"{plain_name(base)}: its sub-folder {plain_name(named[0].name)} is called like a "
            "split, but others are not: set splits: made if it is a class, or path: "
            f"{plain_name(named[0])} to use it alone"
        )
    return (
        f"{plain_name(base)}: its sub-folders are called {_listed(named)}, like splits, not "
        f"classes: {_unusable(named) or _KEEP_OR_NOT}"
    )


_KEEP_OR_NOT = "set splits: given to keep them, or splits: made to draw others from all the images"


def _unusable(named: list[Path]) -> str | None:
    """Why folders with the names of splits cannot be used as splits, with advice."""
    flat = [top for top in named if not folders_with_images(_unwrapped_split(top))]
    labelled = [top for top in named if top not in flat]
    if flat and labelled:
        best = next((top for top in labelled if split_of(top.name) == "train"), labelled[0])
        return (
            f"{_listed(flat)} holds no folder of a class: set path: {plain_name(best)} to draw all "
            "splits from that, or put each class's images into a folder of their own"
        )
    if flat:
        return "put each class's images into a folder of their own, or rename folders of classes"
    found = [split_of(top.name) for top in named]
    twice = [top for top in named if found.count(split_of(top.name)) > 1]
    if twice:
        return f"{_listed(twice)} are folders for one split: keep one of them, or set splits: made"
    if not is_enough(set(filter(None, found))):
        return (
            f"splits: given needs train, and test or validation or both, but found "
            f"{_listed(named)}: rename one of them, or set splits: made to draw from all the images"
        )
    return None


def _given(base: Path, tops: list[Path], shape: str | None) -> Layout:
    if shape == "below":
        return _given_below(base, tops)
    named = [top for top in tops if split_of(top.name)]
    problem = _unusable(named)
    if not named:
        found = _listed(folders_in(base)) or "none"
        problem = (
            "splits: given needs the sub-folders train and test, or train and validation, but "
            f"found {found}: rename them, or remove splits: given if they are classes"
        )
    if problem:
        raise UserError(f"{plain_name(base)}: {problem}")
    layout = _layout({str(split_of(top.name)): [_unwrapped_split(top)] for top in named})
    layout.loose.append(base)
    layout.notes += _unnamed(base, named)
    return layout


def _given_below(base: Path, tops: list[Path]) -> Layout:
    classes: dict[str, list[tuple[str, Path]]] = {}
    for top in tops:
        inner = folders_with_images(top)
        splits = [split_of(folder.name) for folder in inner]
        if not splits or None in splits or len(set(splits)) < len(splits):
            raise UserError(
                f"{plain_name(top)}: holds {_listed(inner) or 'no folder with images'}, but "
                "splits: given needs one folder for each split, as in other classes: rename or "
                "move them, or set splits: made"
            )
        for split, folder in zip(splits, inner, strict=True):
            classes.setdefault(str(split), []).append((class_name(top), folder))
    if not is_enough(set(classes)):
        raise UserError(
            f"{plain_name(base)}: splits: given needs train, and test or validation or both, but "
            f"found {', '.join(sorted(classes))} in its classes: rename them, or set splits: made"
        )
    bare = {class_name(f): content_of(f) for f in folders_in(base) if f not in tops}
    return Layout(classes, {split: bare for split in classes}, [base, *tops])


def _merged(base: Path, named: list[Path]) -> Layout:
    """Merge the images of all given splits."""
    layout = _layout({"all": [_unwrapped_split(top) for top in named]})
    layout.loose.append(base)
    layout.notes.append(f"{_listed(named)} are put together, and splits are drawn from all")
    layout.notes += _unnamed(base, named)
    return layout


def _layout(bases: dict[str, list[Path]]) -> Layout:
    """Sub-folders are classes, of every split's folders."""
    layout = Layout({}, loose=[base for found in bases.values() for base in found])
    for split, found in bases.items():
        labels = [(class_name(label), label) for base in found for label in folders_in(base)]
        layout.classes[split] = [label for label in labels if holds_images(label[1])]
        kept = {name for name, _ in layout.classes[split]}
        layout.empty[split] = {name: content_of(f) for name, f in labels if name not in kept}
    return layout


def _perhaps_deeper(tops: list[Path]) -> list[str]:
    """Name the folder whose sub-folders are probably the classes, if it is not the one given.

    Folders of patients or slides within classes are usual: they are in every class, and numbered.
    """
    inner = {top: [] if holds_own_images(top) else folders_with_images(top) for top in tops}
    deep = [top for top, folders in inner.items() if len(folders) > 1]
    if len(deep) == len(tops):
        deep = [top for top in deep if not any(map(_has_digit, inner[top]))]
    if not deep:
        return []
    most = max(deep, key=lambda top: len(inner[top]))
    name, shown = class_name(most), _listed(inner[most][:3])
    more = f" and {len(inner[most]) - 3:,} more" if len(inner[most]) > 3 else ""
    return [
        f"all images of the folders {shown}{more} are in one class, {name}: if these folders are "
        f"the classes, name the folder {plain_name(most)} instead"
    ]


def _has_digit(folder: Path) -> bool:
    return any(letter.isdigit() for letter in folder.name)


def class_name(folder: Path) -> str:
    """Return the name of a class, normalised to one form of Unicode."""
    return plain_name(unicodedata.normalize("NFC", folder.name))


def _listed(folders: Iterable[Path]) -> str:
    return ", ".join(plain_name(folder.name) for folder in folders)


def _unnamed(base: Path, named: list[Path]) -> list[str]:
    """Name the folders that are not used."""
    return [
        f"{plain_name(folder)} is left out ({content_of(folder)})"
        for folder in folders_in(base)
        if folder not in named
    ]


def _unwrapped(path: Path, notes: list[str]) -> Path:
    """Skip folders that hold nothing but another folder with all images."""
    base = path
    while not holds_own_images(base):
        folders = folders_in(base)
        tops = [top for top in folders if holds_images(top)]
        if len(tops) != 1 or holds_own_images(tops[0]):
            break
        if len(folders) > 1 and not _only_wraps(tops[0]):
            break
        notes += _unnamed(base, tops)
        base = tops[0]
    if base != path:
        notes.insert(0, f"classes are the sub-folders of {plain_name(base)}")
    return base


def _unwrapped_split(top: Path) -> Path:
    """Skip a folder of the split's own name, or called ``images``, within a split."""
    while not holds_own_images(top):
        inner = folders_with_images(top)
        if len(inner) != 1 or not _only_wraps(inner[0]) or not folders_with_images(inner[0]):
            break
        top = inner[0]
    return top


def _only_wraps(folder: Path) -> bool:
    return split_of(folder.name) is not None or is_plain(folder.name)
