"""Arrays that lie in a file: how to give back the memory their pages take."""

from __future__ import annotations

import mmap

import numpy as np

__all__ = ["release"]


def release(images: np.ndarray) -> None:
    """Give back the memory of a mapped array; its pages are read again when they are needed."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
