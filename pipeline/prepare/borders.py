"""Choose what enters turned images of a user's data: what lies at the borders of the images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_LOOKED_AT = 1000  # images of each given split at most
_NEAR = 0.1  # of black or white


def entering_pixels(
    images: Mapping[str, np.ndarray], usable: Mapping[str, np.ndarray]
) -> float | str:
    """Return 0 or 1 if the borders of most images are black or white, else ``edge``.

    Parameters
    ----------
    images
        Of each given split, ``(count, channels, height, width)``, uint8 or float32.
    usable
        The indices of the images that could be read.
    """
    found = []
    for name, split in images.items():
        step = max(1, len(usable[name]) // _LOOKED_AT)
        some = split[usable[name][::step]] / (255 if split.dtype == np.uint8 else 1)
        edges = some[..., 0, :], some[..., -1, :], some[..., 0], some[..., -1]
        found.append(np.median(np.concatenate(edges, -1), -1))  # (count, channels)
    level = np.median(np.concatenate(found), 0)
    if (level <= _NEAR).all():
        return 0
    return 1 if (level >= 1 - _NEAR).all() else "edge"


def entering_words(background: float | str) -> str:
    """Say what enters turned images, for a card."""
    if isinstance(background, str):
        return "the nearest pixel"
    return f"{background:g} from black (0) to white (1)" if background else "zero"
