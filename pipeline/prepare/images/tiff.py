"""Read the stored samples of a TIFF, for depths that Pillow does not support or reduces to 8 bits.

Pillow only decompresses, from a file with the same data but tags of one byte a pixel. Byte order,
predictor, depth and bands are then applied with numpy to these bytes.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import TiffImagePlugin

MOST_BYTES = 1 << 29  # of the samples of an image
_MOST_PAGES = 64
_CONVERT = "convert it to 8 or 16 bits, or to 32-bit floats, grey or RGB, without compression"
_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)  # none, LZW, deflate, PackBits, LZMA, Zstd
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
_BASE = {0: 1, 1: 1, 2: 3}  # bands of white-is-zero, black-is-zero, RGB
_REDUCED_OR_MASK = 1 | 4


@dataclass(frozen=True)
class Layout:
    """The tags of the first page of a TIFF.

    Attributes
    ----------
    tags
        The page's tags, by number.
    order
        ``<`` or ``>``.
    pages
        Pages of the file, without previews and masks.
    """

    tags: Any
    order: str
    pages: int

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag."""
        found = self.tags.get(tag, default)
        return int(found[0] if isinstance(found, tuple) else found)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self.number(258, 1)

    @property
    def kind(self) -> str:
        """``u``, ``i`` or ``f``, unsigned, signed or float."""
        kind = self.number(339, 1)
        if kind not in _KINDS:
            raise ValueError(f"is a TIFF of complex numbers, which are not read: {_CONVERT}")
        return _KINDS[kind]

    @property
    def bands(self) -> int:
        """Samples of a pixel."""
        return self.number(277, 1)

    @property
    def white_is_zero(self) -> bool:
        """Whether the least value is white."""
        return self.number(262, 1) == 0

    @property
    def alpha(self) -> int:
        """0 without transparency, 1 where colours are premultiplied by it, 2 where not."""
        return self.number(338, 0)

    @property
    def is_high_depth(self) -> bool:
        """Whether Pillow would lose bits or read wrong values."""
        return self.bits > 8 or self.number(339, 1) not in (1, 4)

    def refuse_raw(self) -> None:
        """Refuse raw camera files, whose first page is a thumbnail."""
        if 50706 in self.tags or (self.number(254, 0) & 1 and 330 in self.tags):
            raise ValueError("is a raw camera file: develop it to TIFF or PNG")


def read_layout(file: BinaryIO) -> Layout:
    """Read the tags of the first page, and count the pages."""
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2:3] == b"+" or header[3:4] == b"+" else b""
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    seen: set[int] = set()
    first: Any = None
    pages, place = 0, tags.next
    while place and place not in seen and len(seen) < _MOST_PAGES:
        seen.add(place)
        page = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(place)
        page.load(file)
        kind = page.get(254, 0)
        if first is None:
            first, pages = page, 1
        elif not (isinstance(kind, int) and kind & _REDUCED_OR_MASK):
            pages += 1
        place = page.next
    if not first:
        raise ValueError("is a TIFF without a page")
    return Layout(first, "<" if header[:1] == b"I" else ">", pages)


def read_samples(file: BinaryIO, layout: Layout) -> np.ndarray:
    """Return the stored samples ``(height, width, bands)``, of the type they are stored in.

    Raises
    ------
    ValueError
        For an unsupported kind of TIFF, with what to convert it to.
    """
    width, height = layout.number(256, 0), layout.number(257, 0)
    _refuse_unsupported(layout, width, height)
    file.seek(0)
    data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"has more than the {MOST_BYTES:,} bytes that are accepted")
    if layout.number(284, 1) == 2 and layout.bands > 1:  # plane after plane
        planes = [_plane(data, layout, 1, plane) for plane in range(layout.bands)]
        return np.concatenate(planes, axis=2)
    return _plane(data, layout, layout.bands, None)


def _refuse_unsupported(layout: Layout, width: int, height: int) -> None:
    photometric, base = layout.number(262, 1), _BASE.get(layout.number(262, 1))
    if base is None:
        raise ValueError(
            f"is a TIFF of {layout.bits} bits in colours of kind {photometric}, neither grey nor "
            f"RGB, which is not read: {_CONVERT}"
        )
    bits = layout.tags.get(258, (1,))
    if len(set(bits)) > 1:
        raise ValueError(f"is a TIFF with bands of {bits} bits, which is not read: {_CONVERT}")
    if not base <= layout.bands <= base + 1:
        raise ValueError(
            f"is a TIFF with {layout.bands} bands, of which 1 (grey) or 3 (RGB) are read, perhaps "
            "with transparency: save the bands that you need"
        )
    if layout.number(259, 1) not in _COMPRESSIONS:
        raise ValueError(
            f"is a TIFF of {layout.bits} bits with compression {layout.number(259, 1)}, "
            f"which is not read: {_CONVERT}"
        )
    whole = layout.bits in ((16, 32, 64) if layout.kind == "f" else (8, 16, 32, 64))
    packed = layout.kind == "u" and 8 < layout.bits < 16 and 322 not in layout.tags
    if not whole and not (packed and layout.number(317, 1) == 1):
        word = {"u": "unsigned", "i": "signed", "f": "float"}[layout.kind]
        raise ValueError(
            f"is a TIFF of {layout.bits}-bit {word} numbers, which is not read: {_CONVERT}"
        )
    if not (width > 0 and height > 0) or width * height * layout.bands * 8 > 8 * MOST_BYTES:
        raise ValueError(f"announces {width:,}x{height:,} pixels, which is not accepted")


def _plane(data: bytes, layout: Layout, bands: int, plane: int | None) -> np.ndarray:
    width, tile = layout.number(256, 0), layout.number(322, 0)
    padded = -(-width // tile) * tile if tile else width
    row = -(-padded * bands * layout.bits // 8)
    rows = _decompressed(data, layout, row, plane, tile * bands * layout.bits // 8)
    if layout.bits % 8:
        return _unpacked(rows, layout.bits, width * bands).reshape(len(rows), width, bands)
    shape = (len(rows), -1, tile or width, bands)  # a predictor starts again in every tile
    size = layout.bits // 8
    predictor = layout.number(317, 1)
    if predictor == 3:
        samples = _float_predicted(rows, shape, size)
    else:
        kind = "u" if predictor == 2 else layout.kind
        samples = rows.view(f"{layout.order}{kind}{size}").reshape(shape)
        if predictor == 2:
            native = samples.astype(f"=u{size}")
            samples = np.add.accumulate(native, axis=2, dtype=native.dtype)
        samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        samples = samples.view(f"=u{size}" if layout.kind == "u" else f"={layout.kind}{size}")
    return samples.reshape(len(rows), -1, bands)[:, :width]


def _float_predicted(rows: np.ndarray, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Undo the floating-point predictor: differences of bytes, most significant bytes first."""
    tile, bands = shape[2:]
    planes = rows.reshape(len(rows), -1, tile * size, bands)
    summed = np.add.accumulate(planes, axis=2, dtype=np.uint8)
    numbers = summed.reshape(len(rows), -1, size, tile * bands).swapaxes(2, 3)
    found = np.ascontiguousarray(numbers).view(f">f{size}")
    return found.astype(f"=f{size}").reshape(len(rows), -1, tile, bands)


def _unpacked(rows: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Unpack numbers of 9 to 15 bits, row by row."""
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint16)
    found = np.empty((len(rows), count), dtype=np.uint16)
    for place, row in enumerate(rows):
        found[place] = np.unpackbits(row)[: count * bits].reshape(count, bits) @ weights
    return found


def _decompressed(
    data: bytes, layout: Layout, row: int, plane: int | None, tile: int
) -> np.ndarray:
    """Rows of bytes ``(height, row)``, as Pillow reads them from a file of one byte a pixel."""
    height, tags = layout.number(257, 0), layout.tags
    places, counts = (324, 325) if tile else (273, 279)
    kept = [np.ravel(tags[tag]).astype(np.uint32) for tag in (places, counts)]
    if plane is not None:
        each = len(kept[0]) // layout.bands
        kept = [values[plane * each : (plane + 1) * each] for values in kept]
    entries: dict[int, list[int]] = {
        256: [row],
        257: [height],
        258: [8],
        259: [layout.number(259, 1)],
        262: [1],
        266: [layout.number(266, 1)],
        places: kept[0].tolist(),
        277: [1],
        counts: kept[1].tolist(),
    }
    if tile:
        entries |= {322: [tile], 323: [layout.number(323, 0)]}
    else:
        entries |= {278: [min(layout.number(278, height), height)]}
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(_with_tags(data, entries)))
    return np.array(image)


def _with_tags(data: bytes, entries: dict[int, list[int]]) -> bytes:
    """The same data with other tags, appended as 32-bit numbers."""
    start = len(data) + len(data) % 2
    behind = start + 2 + 12 * len(entries) + 4
    page, arrays = struct.pack("<H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        inline = len(values) == 1
        place = packed if inline else struct.pack("<I", behind + len(arrays))
        page += struct.pack("<HHI", tag, 4, len(values)) + place
        arrays += b"" if inline else packed
    head = b"II*\0" + struct.pack("<I", start)
    return head + data[8:] + bytes(start - len(data)) + page + bytes(4) + arrays
