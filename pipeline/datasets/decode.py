"""Make a square image of one size out of an image file of any kind, or say why not."""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

__all__ = ["FITS", "FORMATS", "SUFFIXES", "Target", "decode", "fit_array"]

# Other decoders are never tried, whatever a file says of itself.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

FITS = ("resize", "crop", "pad")

# More than any photograph; a few kilobytes can unpack to this many pixels, so it bounds memory.
MOST_PIXELS = 1 << 26

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True)
class Target:
    """What every image becomes.

    Attributes
    ----------
    size
        Height and width in pixels.
    fit
        How other proportions become a square: ``resize`` stretches, ``crop`` fits the short side
        and cuts the middle out, ``pad`` fits the long side and adds zeros around.
    channels
        1, grey, or 3, red, green and blue.
    dtype
        ``uint8``, or ``float32`` from 0 to 1, which keeps the depth of 16-bit images.
    """

    size: int
    fit: str
    channels: int
    dtype: str = "uint8"


def decode(file: Path | bytes, target: Target) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image ``(channels, size, size)`` and its height and width before.

    Orientation tags are followed; what is transparent becomes black; 16 bits become 8 unless the
    target is float32; a stored resolution or colour profile is ignored.

    Raises
    ------
    ValueError
        Saying what is wrong with the image, without its name.
    """
    try:
        if isinstance(file, Path):
            _check_file(file)
        return _decode(file, target)
    except ValueError as error:
        raise ValueError(str(error) or "cannot be decoded") from error
    except Image.UnidentifiedImageError:
        raise ValueError("is no PNG, JPEG, TIFF or BMP image, whatever its name says") from None
    except Image.DecompressionBombError:
        raise ValueError(f"has more than the {MOST_PIXELS:,} pixels that are accepted") from None
    except FileNotFoundError:
        raise ValueError("is a link to a file that is not there, or was removed") from None
    except PermissionError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except Exception as error:  # a decoder may fail in any way on a damaged file
        raise ValueError(f"cannot be decoded ({_plain(error)})") from error


def _check_file(path: Path) -> None:
    """Refuse what is no file: a pipe, say, would be waited for without end."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise ValueError(f"is {kinds.get(stat.S_IFMT(state.st_mode), 'a device')}, not a file")
    if state.st_size == 0:
        raise ValueError("is empty")


def _decode(file: Path | bytes, target: Target) -> tuple[np.ndarray, tuple[int, int]]:
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    with Image.open(source, formats=FORMATS) as image:
        _refuse(image)
        width, height = image.size
        if image.format == "JPEG":
            # The decoder leaves out detail that is far finer than what is wanted.
            part = max(width, height) if target.fit == "pad" else None
            wanted = [3 * target.size * side // (2 * (part or side)) or 1 for side in image.size]
            image.draft("L" if target.channels == 1 else None, (wanted[0], wanted[1]))
        lying = image.size
        ImageOps.exif_transpose(image, in_place=True)
        turned = image.size != lying
        before = (width, height) if turned else (height, width)
        return _finish(_pixels(image, target), target), before


def _refuse(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"has {width:,}x{height:,} pixels, more than the {MOST_PIXELS:,} that are accepted"
        )
    if image.format != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"holds {image.n_frames} images, animated or in pages, instead of one")  # type: ignore[attr-defined]


def _pixels(image: Image.Image, target: Target) -> np.ndarray:
    """Values on 0 to 1 or 0 to 255, ``(height, width, channels)``."""
    if image.mode in _SIXTEEN_BITS or image.mode == "F":
        values = np.array(image, dtype=np.float32)
        if image.mode != "F":
            values /= 65535
        if not (values.min() >= 0 and values.max() <= 1):  # not a number fails too
            raise ValueError(
                f"has values from {values.min():g} to {values.max():g}, which is not 0 to 1"
            )
        values = np.repeat(values[:, :, None], target.channels, axis=2)
        return values if target.dtype == "float32" else np.rint(values * 255).astype(np.uint8)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen)
    mode = "L" if target.channels == 1 else "RGB"
    # What has the mode already need not be copied to have it, and torch wants arrays of its own.
    return np.atleast_3d(np.array(image if image.mode == mode else image.convert(mode)))


def _finish(values: np.ndarray, target: Target) -> np.ndarray:
    fitted = fit_array(values, target)
    if fitted.min() == fitted.max():
        raise ValueError(f"is constant: every pixel is {fitted.flat[0]:g}")
    return fitted


def fit_array(values: np.ndarray, target: Target) -> np.ndarray:
    """Return ``(channels, size, size)`` of the target's type.

    Parameters
    ----------
    values
        ``(height, width, channels)``, uint8, or float32 from 0 to 1.
    target
        What it becomes.
    """
    planes = values.transpose(2, 0, 1)
    if values.shape[:2] != (target.size, target.size):
        planes = _fitted(planes, target)
    if target.dtype == "float32":
        planes = planes.astype(np.float32) / 255 if planes.dtype == np.uint8 else planes.clip(0, 1)
    elif planes.dtype != np.uint8:
        planes = np.rint(planes.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(planes)


def _fitted(planes: np.ndarray, target: Target) -> np.ndarray:
    size, (height, width) = target.size, planes.shape[1:]
    if target.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resized(planes[:, top : top + side, left : left + side], size, size)
    if target.fit == "resize":
        return _resized(planes, size, size)
    rows, columns = (max(1, round(size * side / max(height, width))) for side in (height, width))
    padded = np.zeros((len(planes), size, size), dtype=planes.dtype)
    top, left = (size - rows) // 2, (size - columns) // 2
    padded[:, top : top + rows, left : left + columns] = _resized(planes, rows, columns)
    return padded


def _resized(planes: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Bilinear; the filter widens when it shrinks, so that nothing aliases."""
    if planes.shape[1:] == (rows, columns):
        return planes
    import torch  # twice as fast as Pillow, from which it differs by a grey level at most

    # Torch warns of arrays that may not be written to, as those of mapped files.
    given = torch.from_numpy(planes if planes.flags.writeable else planes.copy())[None]
    found = torch.nn.functional.interpolate(
        given, (rows, columns), mode="bilinear", antialias=True, align_corners=False
    )
    return found[0].numpy()


def _plain(error: Exception) -> str:
    text = str(error).splitlines()
    return (text[0] if text else type(error).__name__)[:120]
