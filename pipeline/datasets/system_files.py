"""Which files and folders an operating system or a file server puts beside a user's own."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["SYSTEM_FILES", "count_files", "is_system_file"]

# What the card calls them.
SYSTEM_FILES = "hidden files, thumbnails and files of the system"

_NAMES = frozenset(
    {
        "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
        "system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db",
        "ehthumbs_vista.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip


def is_system_file(name: str) -> bool:
    """Tell whether a file or folder of this name is hidden or belongs to a system or a server.

    Examples
    --------
    >>> is_system_file("@eaDir"), is_system_file("._cat.jpg"), is_system_file("cat.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _NAMES


def count_files(path: Path) -> int:
    """Count the files in a folder and below it; what cannot be listed counts for none."""
    return sum(len(names) for _, _, names in os.walk(path))
