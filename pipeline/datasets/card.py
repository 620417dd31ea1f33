"""The card of a prepared data set: where it is from, what it holds, how it was made."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.parts import Images
from pipeline.datasets.registry import Source
from pipeline.datasets.splitting import count_shared, image_hashes
from pipeline.datasets.store import CARD_FORMAT
from pipeline.files import file_sha256

__all__ = ["describe_files", "describe_splits", "describe_versions", "moments"]

_PACKAGES = ("numpy", "torch", "scikit-learn", "matplotlib")
_CHUNK = 4096  # images at once: bounds the memory


def describe_splits(source: Source, splits: dict[str, Images]) -> dict[str, Any]:
    """Return what the card says of the source and of what is in each split."""
    train = splits["train"].images
    mean, std = moments(train)
    return {
        "format": CARD_FORMAT,
        "name": source.name,
        "title": source.title,
        "source": source.address,
        "licence": source.licence,
        "citation": source.citation,
        "remarks": source.remarks,
        "classes": source.classes,
        "image_shape": list(train.shape[1:]),
        "dtype": str(train.dtype),
        "counts": {
            name: {
                "total": len(split),
                "classes": np.bincount(split.labels, minlength=source.classes).tolist(),
            }
            for name, split in splits.items()
        },
        "mean": mean.tolist(),
        "std": std.tolist(),
        "duplicates": _duplicates(splits),
    }


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return the size and checksum of each file."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in sorted(names)
    }


def describe_versions() -> dict[str, str]:
    """Return the versions that draws, turns and pictures depend on."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation by channel, on 0 to 1.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, uint8 or float32.
    """
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    axes = (0, 2, 3)
    pixels = images[:, 0].size
    chunks = [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]
    mean = sum(chunk.sum(axes, dtype=np.float64) for chunk in chunks) / pixels
    around = mean[:, None, None]
    variance = sum(((chunk - around) ** 2).sum(axes) for chunk in chunks) / pixels
    return mean / scale, np.sqrt(variance) / scale


def _duplicates(splits: dict[str, Images]) -> dict[str, int]:
    hashes = [image_hashes(split.images) for split in splits.values()]
    total = sum(map(len, hashes))
    names = list(splits)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    return {
        "images": total - len(np.unique(np.concatenate(hashes))),
        **{f"{one}_in_{other}": count_shared(splits[one], splits[other]) for one, other in pairs},
    }
