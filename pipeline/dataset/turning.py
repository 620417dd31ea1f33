"""Turn images, each by its own angle, and shrink images by averaging."""

from __future__ import annotations

import numpy as np

_BATCH = 1 << 22  # numbers turned at once: bounds the memory, not the result


def turn(images: np.ndarray, degrees: np.ndarray, outside: float | str = 0) -> np.ndarray:
    """Turn images about their centre, bilinear.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, uint8 or float32.
    degrees
        ``(count,)``, in the sense of ``torch.rot90``.
    outside
        What enters from outside, from 0 to 1, or ``edge``: the nearest pixel.

    Returns
    -------
    numpy.ndarray
        Same shape and type; uint8 is rounded.
    """
    import torch  # takes seconds: after the parameters were read

    from gsa_core.resample import rotate_image

    turned = np.empty_like(images)
    if not isinstance(outside, str) and images.dtype == np.uint8:
        outside *= 255
    step = max(1, _BATCH // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        pixels = torch.tensor(images[some], dtype=torch.float32)
        result = rotate_image(pixels, torch.tensor(degrees[some]), outside).numpy()
        if images.dtype == np.uint8:
            turned[some] = np.rint(result.clip(0, 255))
        else:
            turned[some] = result.clip(0, 1)  # interpolation can pass 1 by a rounding error
    return turned


def shrink(images: np.ndarray, factor: int) -> np.ndarray:
    """Average each square of pixels into one.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, uint8, which is rounded, or float32.
    factor
        Height and width of a square; it divides those of the images.
    """
    if factor == 1:
        return images
    count, channels, height, width = images.shape
    squares = images.reshape(count, channels, height // factor, factor, width // factor, factor)
    means = squares.mean((3, 5), dtype=np.float32)
    return np.rint(means).astype(np.uint8) if images.dtype == np.uint8 else means
