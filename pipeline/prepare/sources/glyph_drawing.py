"""Draw letters of matplotlib's fonts as small images, at any angle, without resampling.

An outline is drawn at the angle modulo 90 degrees; mirroring and quarter turns then move whole
pixels, so that images which differ by these alone are equal to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import file_sha256
from pipeline.prepare.labelled_images import ImageChunk

__all__ = ["FONTS", "LETTERS", "Drawings", "GlyphImages", "draw"]

LETTERS = "FGJR27"

# The SHA-256 of the text fonts that matplotlib ships, by family. The first two of each are for
# the test.
FONTS = {
    "DejaVu Sans": {
        "DejaVuSans-Bold": "b184b89e3c1075f22f6b71575b6fc20d4972b3cfd3b23322ca6fd596dcaef167",
        "DejaVuSans-Oblique": "ccdf74b350f11fd3dd5774de50e5e6346a1a5da1f5b7d5fb83590665e97a5213",
        "DejaVuSans": "3fdf69cabf06049ea70a00b5919340e2ce1e6d02b0cc3c4b44fb6801bd1e0d22",
        "DejaVuSans-BoldOblique": (
            "6edf0283160186af451cbee71e7b845f2e4cabf264bb992ce668c83c25465e6f"
        ),
    },
    "DejaVu Serif": {
        "DejaVuSerif-Italic": "3e7994fbc54fa10ce3352a42d548fadd7d9cadb69cb1109bc9d960f6dac57f04",
        "DejaVuSerif-Bold": "c3753f2ed6bc673f15846dc45addbeb3b9c872f32fb18fd53a21f1bef1ed7676",
        "DejaVuSerif": "107244956e9962b9e96faccdc551825e0ae0898ae13737133e1b921a2fd35ffa",
        "DejaVuSerif-BoldItalic": (
            "d93efec7a9d2e826768d1a2ee95b95870e15e29599a84f3484af1de1cec2e181"
        ),
    },
    "STIX": {
        "STIXGeneral": "167378031e2dddc6216d67819c9260e9a06ffc4c478e4e23cb98a6fd44b183c2",
        "STIXGeneralBolIta": "98788fd4ba48dfbb2bd026c0e20a247a8b06c7372879628b7a6bb0d5bb09736c",
        "STIXGeneralBol": "e8533dc7083fa346bda1933d60ea4a83b67d0945bceaf1b3541f82b4a0e2c6a0",
        "STIXGeneralItalic": "6cfcb333d22b7c3c623bdfd40174f14c85c3d6731ca6166c1edc80140eae8527",
    },
    "Computer Modern": {
        "cmr10": "4dd9761b058c009db9b2145f55ee6617d093c273dd3d6c5b3e43ff6110fa9bf6",
        "cmss10": "7df91a83d05b2e471ec638cb0b435a360a3c792b09fc42a7da67e91f2e79115a",
        "cmb10": "074497b50c43ea57597181591f9893d38fc12a87e95104f5657fc2481f61a23a",
        "cmti10": "f9f1f9f654308ae82f7be4441ae89b080896b34cc220bbea173c5e9adcfe3ef7",
        "cmtt10": "6211f09ae93599991afda970c24669dad1a77e253d915624fbf212f702f071d7",
    },
}

_COLUMNS = 32  # of the canvas on which many glyphs are drawn together
_EDGE = 0.5  # pixels between a glyph and the disc that quarter turns and turns keep


@dataclass(frozen=True)
class Drawings:
    """What each image shows, arrays of one length.

    Attributes
    ----------
    font, letter
        Indices of the names of fonts and of letters that are drawn.
    degrees
        By how much the letter is turned anticlockwise, from -45 to 90, before the quarter turns.
    quarter, mirrored
        Quarter turns anticlockwise; whether the image is mirrored left to right before these.
    size
        Radius of the smallest disc around the letter's centre, 1 touches the edge of the image.
    aspect, shear
        Logarithm of height over width; horizontal shift for each unit of height.
    shift, shift_degrees
        How far the letter is from the centre, where 1 touches the edge, and in which direction.
    stroke
        Width of the pen that follows the outline, as a part of the image's side; 0 is none.
    """

    font: np.ndarray
    letter: np.ndarray
    degrees: np.ndarray
    quarter: np.ndarray
    mirrored: np.ndarray
    size: np.ndarray
    aspect: np.ndarray
    shear: np.ndarray
    shift: np.ndarray
    shift_degrees: np.ndarray
    stroke: np.ndarray

    def __len__(self) -> int:
        return len(self.font)

    def take(self, some: slice | np.ndarray) -> Drawings:
        """Return some of them."""
        return Drawings(**{name: values[some] for name, values in vars(self).items()})


class GlyphImages:
    """Images of glyphs that are drawn when they are read, ``(count, 1, side, side)`` uint8.

    Parameters
    ----------
    drawings
        What each image shows.
    fonts, letters
        Names of fonts, of `FONTS`, and the letters that are drawn.
    side
        Height and width in pixels.
    """

    def __init__(self, drawings: Drawings, fonts: Sequence[str], letters: str, side: int) -> None:
        self.drawings, self.fonts, self.letters, self.side = drawings, fonts, letters, side
        self.shape: tuple[int, ...] = (len(drawings), 1, side, side)
        self.dtype: np.dtype = np.dtype(np.uint8)
        digest = hashlib.sha256(repr((*fonts, letters, side)).encode())
        for values in vars(drawings).values():
            digest.update(values.tobytes())
        self.identity = digest.hexdigest()

    def read(self, start: int, stop: int) -> ImageChunk:
        """Draw some of the images."""
        some = self.drawings.take(slice(start, stop))
        return ImageChunk(draw(some, self.fonts, self.letters, self.side))


def draw(drawings: Drawings, fonts: Sequence[str], letters: str, side: int) -> np.ndarray:
    """Draw letters in white on black.

    Returns
    -------
    numpy.ndarray
        ``(count, 1, side, side)`` uint8.
    """
    outlines = [outline(font, letter) for font in fonts for letter in letters]
    chosen = drawings.font * len(letters) + drawings.letter
    images = _render(
        [outlines[i] for i in chosen.tolist()],
        _transforms(drawings, outlines, chosen, side),
        drawings.stroke * side,
        side,
    )
    images = np.where(drawings.mirrored[:, None, None], images[:, :, ::-1], images)
    for quarter in range(1, 4):
        turned = drawings.quarter % 4 == quarter
        images[turned] = np.rot90(images[turned], quarter, (1, 2))
    return images[:, None]


@cache
def outline(font: str, letter: str) -> Any:
    """Return the outline of a letter, its bounding box centred at 0 and within the unit disc.

    Raises
    ------
    UserError
        Where matplotlib ships another font under this name, so that images would differ.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import TextPath

    text = TextPath((0, 0), letter, size=100, prop=FontProperties(fname=font_file(font)))
    used = text.vertices[text.codes != Outline.CLOSEPOLY]
    middle = (used.min(0) + used.max(0)) / 2
    corners = np.asarray((text.vertices - middle) / np.linalg.norm(used - middle, axis=1).max())
    corners[text.codes == Outline.CLOSEPOLY] = 0  # these are not drawn
    return Outline(_exact(corners), text.codes)


@cache
def font_file(font: str) -> Path:
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    expected = next(family[font] for family in FONTS.values() if font in family)
    found = file_sha256(path) if path.exists() else "missing"
    if found != expected:
        raise UserError(
            f"{path}: is {found}, but the glyphs are drawn with the font whose SHA-256 is "
            f"{expected}: install a version of matplotlib with it, such as 3.11"
        )
    return path


def _transforms(
    drawings: Drawings, outlines: Sequence[Any], chosen: np.ndarray, side: int
) -> np.ndarray:
    """Return what maps each outline to pixels of its own image, ``(count, 3, 3)``.

    The letter is stretched and sheared, then scaled to its radius, turned and shifted.
    """
    longest = max(len(each.vertices) for each in outlines)
    corners = np.stack([np.resize(each.vertices, (longest, 2)) for each in outlines])
    matrices = np.zeros((len(drawings), 2, 2))
    matrices[:, 0, 0] = np.exp(-drawings.aspect / 2)
    matrices[:, 1, 1] = np.exp(drawings.aspect / 2)
    matrices[:, 0, 1] = drawings.shear * matrices[:, 1, 1]
    reached = np.linalg.norm(corners[chosen] @ matrices.swapaxes(1, 2), axis=-1).max(1)
    disc = side / 2 - _EDGE - drawings.stroke * side / 2
    matrices *= (drawings.size * disc / reached)[:, None, None]
    angle, direction = np.radians(drawings.degrees), np.radians(drawings.shift_degrees)
    turns = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result = np.zeros((len(drawings), 3, 3))
    result[:, :2, :2] = np.moveaxis(turns, -1, 0) @ matrices
    result[:, 0, 2] = side / 2 + drawings.shift * disc * np.cos(direction)
    result[:, 1, 2] = side / 2 + drawings.shift * disc * np.sin(direction)
    result[:, 2, 2] = 1
    return _exact(result)


def _exact(values: np.ndarray) -> np.ndarray:
    """Round to multiples of 2^-16, so that what Agg multiplies and adds is exact.

    Else where on the canvas a letter is drawn would change rounding errors, and by them pixels.
    """
    return np.asarray(np.rint(values * 65536) / 65536)


def _render(
    outlines: Sequence[Any], transforms: np.ndarray, strokes: np.ndarray, side: int
) -> np.ndarray:
    """Draw all outlines on one canvas, each in its square, and cut it, ``(count, side, side)``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(outlines)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    places = np.arange(count)
    transforms = transforms.copy()
    transforms[:, 0, 2] += places % columns * side
    transforms[:, 1, 2] += (rows - 1 - places // columns) * side  # from the bottom
    figure = Figure(figsize=(columns * side, rows * side), dpi=1, facecolor="black")
    for drawn in (strokes == 0, strokes > 0):  # a pen doubles the time
        if drawn.any():
            chosen = [outlines[i] for i in np.flatnonzero(drawn).tolist()]
            figure.add_artist(_collection(chosen, transforms[drawn], strokes[drawn]))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    grey = np.asarray(canvas.buffer_rgba())[..., 0]
    squares = grey.reshape(rows, side, columns, side).swapaxes(1, 2)
    return squares.reshape(-1, side, side)[:count].copy()


def _collection(outlines: Sequence[Any], transforms: np.ndarray, strokes: np.ndarray) -> Any:
    """Return outlines as one artist; of two lists of one length each outline gets its transform."""
    from matplotlib.collections import PathCollection
    from matplotlib.transforms import IdentityTransform

    class _Each(PathCollection):
        def get_transforms(self) -> Any:
            return transforms

    pen = 72 * strokes  # in points, of which one inch, here one pixel, has 72
    collection = _Each(
        outlines,
        facecolors="white",
        edgecolors="white",
        linewidths=pen,
        antialiaseds=(
            True,
            True,
        ),  # of one, a single outline is drawn as a marker, half a pixel off
    )
    collection.set_transform(IdentityTransform())
    collection.set_snap(False)  # else straight outlines move to whole pixels at some angles
    return collection
