"""Which files and folders an operating system or a file server puts beside a user's own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SYSTEM_FILES", "are_thumbnails", "count_files", "is_system_file"]

# What the card calls them.
SYSTEM_FILES = "hidden files, thumbnails and files of the system"

_NAMES = frozenset(
    {
        "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
        "system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db",
        "ehthumbs_vista.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip


_THUMBNAILS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails"})


def is_system_file(name: str) -> bool:
    """Tell whether a file or folder of this name is hidden or belongs to a system or a server.

    Examples
    --------
    >>> is_system_file("@eaDir"), is_system_file("._cat.jpg"), is_system_file("cat.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _NAMES


def are_thumbnails(folder: Path, beside: Iterable[str]) -> bool:
    """Whether a folder is called so and holds nothing but smaller copies of the files beside it.

    The name alone says nothing: a thumb may be what is photographed.
    """
    if folder.name.lower().strip("_- ") not in _THUMBNAILS:
        return False
    stems = {os.path.splitext(name)[0] for name in beside if not is_system_file(name)}
    held = [name for name in os.listdir(folder) if not is_system_file(name)]
    return bool(held) and all(os.path.splitext(name)[0] in stems for name in held)


def count_files(path: Path) -> int:
    """Count the files in a folder and below it; what cannot be listed counts for none."""
    return sum(len(names) for _, _, names in os.walk(path))
