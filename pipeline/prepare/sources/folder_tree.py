"""List folders and images, without the hidden files and thumbnails of systems and servers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.prepare.images.decode import SUFFIXES
from pipeline.prepare.sources.image_files import plain_name

# Their name in the card.
SYSTEM_FILES = "hidden files, thumbnails and files of the system"

_NAMES = frozenset(
    {
        "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
        "system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db",
        "ehthumbs_vista.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip
_THUMBNAILS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails"})


def folders_in(path: Path) -> list[Path]:
    """Return the sub-folders in the same order on every machine, without hidden ones.

    Raises
    ------
    UserError
        When the folder cannot be read.
    """
    entries = sorted(_entries(path), key=lambda entry: os.fsencode(entry.name))
    return [entry for entry in entries if not is_system_file(entry.name) and entry.is_dir()]


def _entries(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except FileNotFoundError:
        raise UserError(f"{plain_name(path)}: there is no such folder") from None
    except OSError as error:
        raise UserError(f"{plain_name(path)}: cannot be read: {error.strerror}") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not is_system_file(name)


def holds_own_images(folder: Path) -> bool:
    """Whether an image is directly in a folder."""
    return any(_is_image(entry.name) and not entry.is_dir() for entry in _entries(folder))


def folders_with_images(folder: Path) -> list[Path]:
    """Return the sub-folders that hold an image at any depth."""
    return [inner for inner in folders_in(folder) if holds_images(inner)]


def holds_images(folder: Path) -> bool:
    """Whether a folder holds an image at any depth."""
    return any(_is_image(name) for _, names in _walk(folder) for name in names)


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    def stop(error: OSError) -> None:
        where = plain_name(error.filename)
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error

    for here, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not is_system_file(name)]
        called_images = [name for name in folders if _is_image(name)]  # bad images, when read
        folders[:] = [name for name in folders if name not in called_images]
        yield here, [name for name in names if not is_system_file(name)] + called_images


def content_of(folder: Path) -> str:
    """Count the files of a folder by suffix, in words."""
    kinds = Counter(
        plain_name(Path(name).suffix.lower()) or "no suffix"
        for _, names in _walk(folder)
        for name in names
    )
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())[:5])
    return f"files: {found}" if found else "it is empty"


def is_system_file(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to a system or a server.

    Examples
    --------
    >>> is_system_file("@eaDir"), is_system_file("._cat.jpg"), is_system_file("cat.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _NAMES


def are_thumbnails(folder: Path, originals: Iterable[str]) -> bool:
    """Whether a folder is called thumbnails and holds nothing but copies of the given files.

    The name alone is not enough: ``thumb`` may be a class.
    """
    if folder.name.lower().strip("_- ") not in _THUMBNAILS:
        return False
    stems = {os.path.splitext(name)[0] for name in originals if not is_system_file(name)}
    held = [name for name in os.listdir(folder) if not is_system_file(name)]
    return bool(held) and all(os.path.splitext(name)[0] in stems for name in held)


def count_files(path: Path) -> int:
    """Count the files of a folder at any depth; unreadable folders count as empty."""
    return sum(len(names) for _, _, names in os.walk(path))
