"""Which folders hold images; hidden folders and those that tools leave behind are passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.prepare.images.decode import SUFFIXES
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.sources.system_files import is_system_file

__all__ = [
    "content_of",
    "folders_in",
    "folders_with_images",
    "holds_images",
    "holds_own_images",
]


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, in one order on every machine, without hidden ones.

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
        raise UserError(
            f"{plain_name(path)}: there is no such folder: correct the path in prepare.sources"
        ) from None
    except OSError as error:
        raise UserError(f"{plain_name(path)}: cannot be read: {error.strerror}") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not is_system_file(name)


def holds_own_images(folder: Path) -> bool:
    """Whether a folder itself holds an image."""
    return any(_is_image(entry.name) and not entry.is_dir() for entry in _entries(folder))


def folders_with_images(folder: Path) -> list[Path]:
    """Return the folders in a folder that hold an image, or a folder that does."""
    return [inner for inner in folders_in(folder) if holds_images(inner)]


def holds_images(folder: Path) -> bool:
    """Whether an image is in a folder or below it."""
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
    """What kinds of file a folder holds."""
    kinds = Counter(
        plain_name(Path(name).suffix.lower()) or "no suffix"
        for _, names in _walk(folder)
        for name in names
    )
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())[:5])
    return f"files: {found}" if found else "it is empty"
