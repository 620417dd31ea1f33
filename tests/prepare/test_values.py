"""Stored values become the right grey: every depth, byte order, polarity and transparency."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from image_bytes import png16, tiff
from images import picture
from PIL import Image

from pipeline.prepare.images.decode import decode
from pipeline.prepare.images.fit_to_square import Target

SIDE = 16
FINE = Target(SIDE, "resize", 1, "float32")
RAMP = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) * 257).astype(np.uint16)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)


def fine(data: bytes, **options: Any) -> np.ndarray:
    """Decode to float32, channels last."""
    target = Target(SIDE, "resize", **{"channels": 3, "dtype": "float32", **options})
    return decode(data, target)[0].transpose(1, 2, 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_bit_of_a_png_of_16_bits_is_kept(channels: int) -> None:
    values = np.dstack([COLOURS if channels > 2 else RAMP, np.full((SIDE, SIDE), 65535, np.uint16)])
    values = values[:, :, :channels]
    found = fine(png16(values // 7 if channels % 2 else values), channels=3)
    expected = values[:, :, : 3 if channels > 2 else 1] // (7 if channels % 2 else 1)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape) / 65535, atol=1e-7)


TYPES = ["<u2", ">u2", "<u4", ">u4", "<i2", ">i4", "<f2", ">f4", "<f4", "<f8", ">f8"]


@pytest.mark.parametrize(("photometric", "bands"), [(0, 1), (1, 1), (2, 3)])
@pytest.mark.parametrize("kind", TYPES)
def test_a_tiff_of_any_type_is_read_or_inverted(kind: str, photometric: int, bands: int) -> None:
    dtype = np.dtype(kind)
    unit = (COLOURS if bands == 3 else RAMP) / 65535
    top = 1 if dtype.kind == "f" else 4095
    values = (unit * top).astype(dtype.newbyteorder("="))
    found = fine(tiff(values, photometric, order=kind[0]), value_range=(0, top), channels=bands)
    expected = np.atleast_3d(values.astype(np.float64)) / top
    np.testing.assert_allclose(found, 1 - expected if photometric == 0 else expected, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 12, 16])
def test_white_is_zero_at_every_depth(depth: int) -> None:
    values = np.random.default_rng(depth).integers(0, 2**depth, (SIDE, SIDE)).astype(np.uint16)
    flags = (values.reshape(SIDE, SIDE, 1) >> np.arange(depth)[::-1]) & 1
    packed = np.packbits(flags.reshape(SIDE, -1).astype(np.uint8), axis=1).tobytes()
    data = packed if depth < 16 else values.astype("<u2").tobytes()
    options: dict[str, Any] = {"bits": depth, "data": data}
    top = (0, 2**depth - 1) if depth > 8 else "type"
    black, white = (fine(tiff(values, p, **options), value_range=top, channels=1) for p in (1, 0))
    np.testing.assert_allclose(black[:, :, 0], values / (2**depth - 1), atol=1e-6)
    np.testing.assert_allclose(white, 1 - black, atol=1e-6)


def test_a_declared_range_holds_for_white_is_zero_of_8_bits() -> None:
    values = (RAMP >> 9).astype(np.uint8)  # 0 to 127
    found = fine(tiff(values, 0), value_range=(0, 127), channels=1)
    np.testing.assert_allclose(found[:, :, 0], 1 - values / 127, atol=1e-6)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_of_16_bits_are_read(compression: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "TIFF", compression=compression)
    np.testing.assert_allclose(fine(buffer.getvalue())[:, :, 0], RAMP / 65535, atol=1e-7)


@pytest.mark.parametrize("order", ["<", ">"])
def test_predicted_differences_are_undone(order: str) -> None:
    differences = np.diff(COLOURS, axis=1, prepend=np.zeros((SIDE, 1, 3), np.uint16))
    data = zlib.compress(differences.astype(f"{order}u2").tobytes())
    found = fine(tiff(COLOURS, 2, order=order, data=data, more={259: 8, 317: 2}))
    np.testing.assert_allclose(found, COLOURS / 65535, atol=1e-7)


def test_predicted_floats_are_undone() -> None:
    values = (COLOURS / 65535).astype(np.float32)
    planes = values.astype(">f4").view(np.uint8).reshape(SIDE, SIDE * 3, 4).swapaxes(1, 2)
    flat = planes.reshape(SIDE, -1, 3)
    differences = np.diff(flat, axis=1, prepend=np.zeros((SIDE, 1, 3), np.uint8))
    data = zlib.compress(differences.astype(np.uint8).tobytes())
    found = fine(tiff(values, 2, data=data, more={259: 8, 317: 3}))
    np.testing.assert_array_equal(found, values)


def test_planes_and_tiles_of_a_tiff() -> None:
    planes = COLOURS.transpose(2, 0, 1).astype("<u2").tobytes()
    size = 2 * SIDE * SIDE
    more = {284: 2, 273: [8 + i * size for i in range(3)], 279: [size] * 3}
    found = fine(tiff(COLOURS, 2, data=planes, more=more))
    np.testing.assert_allclose(found, COLOURS / 65535, atol=1e-7)
    wide = np.tile(RAMP, (2, 2))[:, :24]  # tiles of 16 reach past its edge
    padded = np.pad(wide, ((0, 0), (0, 8)))
    tiles = [
        padded[y : y + 16, x : x + 16].astype("<u2").tobytes() for y in (0, 16) for x in (0, 16)
    ]
    more = {322: 16, 323: 16, 324: [8 + 512 * i for i in range(4)], 325: [512] * 4}
    data = tiff(wide, 1, data=b"".join(tiles), more=more)
    found = decode(data, Target(24, "crop", 1, "float32"))[0]
    plain = decode(tiff(wide), Target(24, "crop", 1, "float32"))[0]
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_images_are_turned_as_pillow_turns_those_of_8_bits(
    kind: str, orientation: int
) -> None:
    pixels = picture(3, 12, 9, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = []
    for image in (Image.fromarray(pixels), Image.fromarray(pixels.astype(np.uint16) * 257)):
        buffer = io.BytesIO()
        image.save(buffer, kind, exif=exif)
        found.append(decode(buffer.getvalue(), Target(SIDE, "pad", 1)))
    assert found[0][1] == found[1][1]
    assert np.abs(found[0][0].astype(int) - found[1][0]).max() <= 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(np.zeros((8, 8, 5), np.uint8)), "is a TIFF with 5 bands"),
        (tiff(np.zeros((8, 8, 5), np.uint16)), "is a TIFF with 5 bands"),
        (tiff(np.zeros((8, 8, 4), np.uint16), 5), "neither grey nor RGB"),
        (tiff(RAMP, more={259: 34892}), "with compression 34892, which is not read"),
        (tiff(RAMP, bits=24, more={339: 3}), "is a TIFF of 24-bit float numbers"),
        (tiff(RAMP, more={339: 6}), "is a TIFF of complex numbers"),
        (tiff(RAMP, more={50706: 1}), "is a raw camera file"),
        (tiff(RAMP, more={254: 1, 330: 8}), "is a raw camera file"),
    ],
)
def test_a_tiff_that_is_not_read_is_called_one(data: bytes, words: str) -> None:
    with pytest.raises(ValueError) as error:
        decode(data, FINE)
    assert words in str(error.value) and "is no TIFF" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_transparent_value_is_the_ground(dtype: type, channels: int) -> None:
    """Of 16 bits, all count: a value that shares its upper byte is not transparent."""
    clear = int(np.iinfo(dtype).max)
    values = (COLOURS[:, :, :channels] // 2 >> (8 if dtype is np.uint8 else 0)).astype(dtype)
    values[:4], values[4:6] = clear, clear - 1
    if dtype is np.uint16:
        data = png16(values, (clear,) * channels)
    else:
        buffer = io.BytesIO()
        image = Image.fromarray(values[:, :, 0] if channels == 1 else values)
        image.save(buffer, "PNG", transparency=clear if channels == 1 else (clear,) * 3)
        data = buffer.getvalue()
    for background, level in (("black", 0), ("white", 1)):
        found = fine(data, channels=channels, background=background)
        assert (found[:4] == level).all()
        np.testing.assert_allclose(found[4:], values[4:] / clear, atol=1e-6)


def drawing(mode: str, ink: int = 0) -> bytes:
    """A drawing in one colour on a transparent ground."""
    drawn = picture(8, SIDE, SIDE, 1) > 128
    buffer = io.BytesIO()
    if mode in ("LA16", "RGBA16"):
        bands = 1 if mode == "LA16" else 3
        stack = [np.full(drawn.shape, 257 * ink)] * bands + [drawn * 65535]
        return png16(np.stack(stack, axis=2).astype(np.uint16))
    if mode == "I;16":
        return png16(np.where(drawn, 257 * ink, 40_000)[:, :, None].astype(np.uint16), (40_000,))
    if mode == "P":
        image = Image.fromarray(drawn.astype(np.uint8)).convert("P")
        image.putpalette([9, 200, 77, ink, ink, ink])
        image.save(buffer, "PNG", transparency=0)
        return buffer.getvalue()
    bands = 3 if mode == "RGBA" else 1
    alpha = (drawn * 255).astype(np.uint8)
    values = np.dstack([*[np.full_like(alpha, ink)] * bands, alpha])
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("ink", [0, 12])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "LA16", "RGBA16", "I;16"])
def test_black_ink_on_a_transparent_ground_gets_a_white_one(mode: str, ink: int) -> None:
    drawn = picture(8, SIDE, SIDE, 1) > 128
    found = fine(drawing(mode, ink), channels=1)[:, :, 0]
    np.testing.assert_allclose(found, np.where(drawn, ink / 255, 1), atol=1e-6)
    black = fine(drawing(mode, 200), channels=1, background="auto")[:, :, 0]
    np.testing.assert_allclose(black, np.where(drawn, 200 / 255, 0), atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_frames_a_padded_image(channels: int, dtype: str) -> None:
    buffer = io.BytesIO()
    pixels = picture(3, 8, 16, channels)
    Image.fromarray(pixels).save(buffer, "PNG")
    top = 255 if dtype == "uint8" else 1.0
    for value in (0, 1, top):
        padded, _ = decode(buffer.getvalue(), Target(16, "pad", channels, dtype, pad_value=value))
        assert (padded[:, :4] == value).all() and (padded[:, 12:] == value).all()
    edge, _ = decode(buffer.getvalue(), Target(16, "pad", channels, dtype, pad_value="edge"))
    assert (edge[:, :4] == edge[:, 4:5]).all() and (edge[:, 12:] == edge[:, 11:12]).all()


@pytest.mark.parametrize(
    ("values", "bounds", "words"),
    [
        (np.array([[0.0027, 1.0000001]]), "type", "from 0.0027 to 1.0000001, which is not 0 to 1:"),
        (np.array([[0.5, 1 + 2**-52]]), "type", "to 1.0000000000000002, which is not 0 to 1:"),
        (np.array([[0, 1.0000001]], np.float32), "type", "from 0 to 1.0000001, which is not"),
        (np.array([[0, 70_000]], np.uint32), "type", "to 70000, which is not 0 to 65535:"),
        (np.array([[-3, 9]], np.int16), "type", "from -3 to 9, which is not 0 to 65535:"),
        (np.array([[0, 4096]], np.uint16), (0, 4095), "to 4096, which is not 0 to 4095:"),
        (np.array([[0, 201]], np.uint8), (0, 200), "from 0 to 201, which is not 0 to 200:"),
        (np.array([[0.25, 3.5]]), (0.5, 3.5), "from 0.25 to 3.5, which is not 0.5 to 3.5:"),
    ],
)
def test_values_outside_are_refused_with_all_their_digits(
    values: np.ndarray, bounds: Any, words: str
) -> None:
    with pytest.raises(ValueError, match="declare what is black and what is white") as error:
        fine(tiff(values), value_range=bounds)
    assert words in str(error.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float64])
def test_declared_bounds_become_black_and_white(dtype: type) -> None:
    values = (RAMP % 101 + 20).astype(dtype)
    found = fine(tiff(values), value_range=(20, 120), channels=1)[:, :, 0]
    np.testing.assert_allclose(found, (RAMP % 101) / 100, atol=1e-6)
