"""Read the stored values of an image: all bits of 16-bit PNGs and of TIFFs, and transparency."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from pipeline.prepare.images.tiff import Layout, read_samples
from pipeline.prepare.images.value_range import StoredImage

TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")  # modes of Pillow

# By the value of the orientation tag.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.swapaxes(0, 1),
    6: lambda v: np.rot90(v, -1),
    7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def read_high_depth(
    handle: BinaryIO, image: ImageFile.ImageFile | None, layout: Layout | None
) -> tuple[StoredImage, tuple[int, int]]:
    """Return the stored values of a TIFF or PNG, turned as its tag says, and height and width.

    Parameters
    ----------
    handle
        The file.
    image
        The image that Pillow has opened.
    layout
        The layout of a TIFF.
    """
    if layout is not None:
        stored, orientation = _tiff(handle, layout), layout.number(274, 1)
    else:
        assert image is not None
        stored = _png(handle, image)
        orientation = image.getexif().get(0x0112, 1)
    if orientation in _TURNS:
        turn = _TURNS[orientation]
        alpha = stored.alpha if stored.alpha is None else turn(stored.alpha)
        stored = StoredImage(turn(stored.values), alpha, stored.premultiplied, stored.white_is_zero)
    height, width = stored.values.shape[:2]
    return stored, (height, width)


def stored_image(image: Image.Image, layout: Layout | None = None) -> StoredImage:
    """Return an image of 8 bits that Pillow has opened, with its transparency as alpha."""
    if image.mode in TRANSPARENT or "transparency" in image.info:
        pixels = np.array(image.convert("RGBA"))
        return StoredImage(pixels[:, :, :3], pixels[:, :, 3:].astype(np.float32) / 255)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    values = np.atleast_3d(np.array(image.convert(mode)))
    if layout is not None and layout.white_is_zero and mode == "L":  # Pillow has inverted it
        return StoredImage(255 - values, white_is_zero=True)
    return StoredImage(values)


def _tiff(handle: BinaryIO, layout: Layout) -> StoredImage:
    samples = read_samples(handle, layout)
    colours = 3 if layout.number(262, 1) == 2 else 1
    alpha = None
    if samples.shape[2] > colours and layout.alpha in (1, 2):
        top = {"f": 1, "i": 2 ** (layout.bits - 1) - 1, "u": 2**layout.bits - 1}[layout.kind]
        alpha = (samples[:, :, colours:] / np.float64(top)).clip(0, 1).astype(np.float32)
    return StoredImage(samples[:, :, :colours], alpha, layout.alpha == 1, layout.white_is_zero)


def _png(handle: BinaryIO, image: ImageFile.ImageFile) -> StoredImage:
    """All 16 bits: Pillow keeps them for grey; for colours it gives one of the two bytes."""
    clear = image.info.get("transparency")
    tiles = image.tile
    if image.mode not in ("RGB", "RGBA"):
        values = np.array(image)[:, :, None]
    elif tiles[0].args == "LA;16B":  # as four bytes, instead of the upper two
        image.tile = [tiles[0]._replace(args="RGBA")]
        pairs = np.array(image).astype(np.uint16)
        values = pairs[:, :, ::2] << 8 | pairs[:, :, 1::2]
    else:
        upper = np.array(image).astype(np.uint16)
        handle.seek(0)
        with Image.open(handle, formats=["PNG"]) as other:
            # Read as little endian, it gives the lower byte.
            swapped = str(tiles[0].args).replace("16B", "16L")
            other.tile = [other.tile[0]._replace(args=swapped)]
            values = upper << 8 | np.array(other)
    if values.shape[2] in (2, 4):
        return StoredImage(values[:, :, :-1], values[:, :, -1:].astype(np.float32) / 65535)
    if clear is None:
        return StoredImage(values)
    seen = (values != np.array(clear)).any(2, keepdims=True)
    return StoredImage(values, seen.astype(np.float32))
