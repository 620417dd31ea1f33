"""Decode an image file of any supported format into a square array of one size."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps, features

from pipeline.common.errors import first_line
from pipeline.prepare.images.fit_to_square import Target, fit_array, refuse_constant
from pipeline.prepare.images.high_depth import TRANSPARENT, read_high_depth, stored_image
from pipeline.prepare.images.signatures import HEAD, is_raw, is_tiff, refusal_of
from pipeline.prepare.images.tiff import Layout, read_layout
from pipeline.prepare.images.value_range import (
    ImageSummary,
    StoredImage,
    is_black,
    summarise,
    to_channels,
    visible,
)

# No other decoder is ever tried.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", *(("AVIF",) if features.check("avif") else ()))
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp",
    *((".avif",) if "AVIF" in FORMATS else ()),
)  # fmt: skip

# More than any photograph; a few kilobytes can unpack to this many pixels, so it bounds memory.
MOST_PIXELS = 1 << 26

# Formats whose orientation is known, or known to be absent, before their pixels are read.
_TAGS_FIRST = ("JPEG", "MPO", "BMP")

_BACKGROUNDS = {"black": 0, "white": 255}


def decode(file: Path | bytes, target: Target) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image ``(channels, size, size)`` and its original height and width.

    Orientation tags are followed; a stored resolution or colour profile is ignored.

    Raises
    ------
    ValueError
        Saying what is wrong with the image, without its name.
    """
    with _opened(file) as handle:
        values, before = _read(handle, target)
        fitted = fit_array(values, target)
        refuse_constant(values)  # `pad` and a rectangle put a frame around it
        refuse_constant(fitted.transpose(1, 2, 0))  # `crop` may leave a blank part
        return fitted, before


def inspect_file(file: Path | bytes) -> ImageSummary:
    """Summarise an image for the choices that hold for a whole data set; a bad one is neutral."""
    try:
        with _opened(file) as handle:
            image, layout = _identified(handle)
            with image or io.BytesIO():
                if image is None or _is_high_depth(image, layout):
                    return summarise(read_high_depth(handle, image, layout)[0])
                if image.mode in TRANSPARENT or "transparency" in image.info:
                    return summarise(stored_image(image))
    except ValueError:
        pass  # reported when it is decoded
    return ImageSummary(np.dtype(np.uint8))


@contextmanager
def _opened(file: Path | bytes) -> Iterator[BinaryIO]:
    """Open a file; whatever goes wrong with it becomes a ValueError."""
    try:
        if isinstance(file, Path):
            _check_file(file)
        with io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb") as handle:
            yield handle
    except ValueError as error:
        raise ValueError(str(error) or "cannot be decoded") from error
    except Image.DecompressionBombError:
        raise ValueError(f"has more than the {MOST_PIXELS:,} pixels that are accepted") from None
    except FileNotFoundError:
        raise ValueError("is a link to a file that is not there, or was removed") from None
    except PermissionError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except Exception as error:  # a decoder may fail in any way on a damaged file
        raise ValueError(f"cannot be decoded ({first_line(error, 120)})") from error


def _check_file(path: Path) -> None:
    """Refuse a pipe or a device, which could block forever."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise ValueError(f"is {kinds.get(stat.S_IFMT(state.st_mode), 'a device')}, not a file")


def _identified(handle: BinaryIO) -> tuple[ImageFile.ImageFile | None, Layout | None]:
    """The image as Pillow knows it and the layout of a TIFF, which Pillow need not know."""
    head = handle.read(HEAD)
    handle.seek(0)
    layout = read_layout(handle) if is_tiff(head) and not is_raw(head) else None
    if layout is not None:
        layout.refuse_raw()
        if layout.pages > 1:
            raise ValueError(
                f"is a stack of {layout.pages} images: save one of them, or a projection, as a file"
            )
        handle.seek(0)
    try:
        if is_raw(head):  # as a TIFF, it would be its thumbnail
            raise Image.UnidentifiedImageError
        image = Image.open(handle, formats=FORMATS)
    except Image.UnidentifiedImageError:
        if layout is None:
            raise ValueError(refusal_of(head)) from None
        return None, layout
    _refuse(image)
    return image, layout


def _refuse(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"has {width:,}x{height:,} pixels, more than the {MOST_PIXELS:,} that are accepted"
        )
    # Phones put a second, smaller picture behind the photograph, which is the first.
    frames = 1 if image.format in ("JPEG", "MPO", "TIFF") else getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"holds {frames} images, animated or in pages, instead of one")


def _is_high_depth(image: ImageFile.ImageFile, layout: Layout | None) -> bool:
    """Whether the file holds more than the 8 bits a value that Pillow would give."""
    if layout is not None:
        return layout.is_high_depth
    raw = image.tile[0].args if image.format == "PNG" and image.tile else ""
    return image.mode.startswith(("I", "F")) or "16B" in str(raw)


def _read(handle: BinaryIO, target: Target) -> tuple[np.ndarray, tuple[int, int]]:
    """Values on 0 to 1 or 0 to 255, ``(height, width, channels)``, and height and width."""
    image, layout = _identified(handle)
    with image or io.BytesIO():
        if image is None or _is_high_depth(image, layout):
            stored, before = read_high_depth(handle, image, layout)
            values = _converted(stored, target)
            return _of_type(values, target), before
        declared = not isinstance(target.value_range, str) and image.mode != "1"
        width, height = image.size
        if image.format in ("JPEG", "MPO") and not declared:
            # The decoder skips detail that is far finer than the target.
            longest = max(width, height) if target.fit == "pad" else None
            wanted = [3 * target.size * side // (2 * (longest or side)) or 1 for side in image.size]
            image.draft("L" if target.channels == 1 else None, (wanted[0], wanted[1]))
        unturned = image.size
        if image.format not in _TAGS_FIRST or not image.info.keys().isdisjoint(("exif", "xmp")):
            ImageOps.exif_transpose(image, in_place=True)
        before = (width, height) if image.size != unturned else (height, width)
        if declared:
            return _of_type(_converted(stored_image(image, layout), target), target), before
        return _pixels(image, target), before


def _of_type(values: np.ndarray, target: Target) -> np.ndarray:
    return values if target.dtype == "float32" else np.rint(values * 255).astype(np.uint8)


def _pixels(image: Image.Image, target: Target) -> np.ndarray:
    """Values of 8 bits, ``(height, width, channels)``."""
    if image.mode in TRANSPARENT or "transparency" in image.info:
        seen = image.convert("RGBA")
        stored = stored_image(seen)
        level = _BACKGROUNDS[_background(target, stored)]
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (level,) * 3 + (255,)), seen)
    mode = "L" if target.channels == 1 else "RGB"
    # An image of this mode need not be converted; torch needs a writable copy.
    return np.atleast_3d(np.array(image if image.mode == mode else image.convert(mode)))


def _converted(stored: StoredImage, target: Target) -> np.ndarray:
    """Stored values on 0 to 1 over their background, in the channels of the target."""
    values = target.unit(stored.values)
    if stored.white_is_zero:
        values = 1 - values
    alpha = stored.alpha
    if alpha is not None:
        behind = _BACKGROUNDS[_background(target, stored)] / 255
        values = (values if stored.premultiplied else values * alpha) + behind * (1 - alpha)
        values = values.clip(0, 1).astype(np.float32)
    return to_channels(values, target.channels)


def _background(target: Target, stored: StoredImage) -> str:
    """The background of the transparent parts of an image."""
    if stored.alpha is None or stored.alpha.min() == 1:
        return "black"
    if target.background != "auto":
        return target.background
    if target.survey is not None:
        return target.survey.background()
    black = is_black(visible(stored), target.bounds(stored.values.dtype))
    return "white" if black else "black"
