"""Image files of every kind become one kind; bad ones are refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import picture
from PIL import Image

from pipeline.prepare.images.decode import decode
from pipeline.prepare.images.fit_to_square import Target, fit_array

RGB = Target(8, "resize", 3)
GREY = Target(8, "resize", 1)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_kinds_keep_every_pixel(kind: str, channels: int) -> None:
    pixels = picture(3, 8, 8, channels)
    for target in (RGB, GREY):
        image, size = decode(encoded(Image.fromarray(pixels), kind), target)
        assert image.shape == (target.channels, 8, 8) and size == (8, 8)
        assert image.dtype == np.uint8
        if target.channels == channels:
            np.testing.assert_array_equal(image, np.atleast_3d(pixels).transpose(2, 0, 1))


def test_a_jpeg_is_close_at_any_size() -> None:
    pixels = picture(3, 512, 512)
    image, size = decode(encoded(Image.fromarray(pixels), "JPEG", quality=95), RGB)
    assert size == (512, 512)
    whole = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BOX))
    assert np.abs(image.transpose(1, 2, 0) - whole.astype(float)).mean() < 10


@pytest.mark.parametrize(("fit", "corner"), [("resize", 1), ("crop", 0), ("pad", 0)])
def test_other_proportions_become_a_square_as_asked(fit: str, corner: int) -> None:
    wide = np.full((8, 16, 1), 100, np.uint8)
    wide[:, :4] = wide[:, -4:] = 200
    square = fit_array(wide, Target(8, fit, 1))[0]
    if fit == "pad":
        assert (square[:2] == 0).all() and (square[6:] == 0).all() and square[4, 0] > 150
    elif fit == "crop":
        np.testing.assert_array_equal(square, np.full((8, 8), 100))
    else:
        assert square[0, 0] == 200 and square[0, 4] == 100 and square[0, 7] == 200


@pytest.mark.parametrize("tag", ["exif", "xmp", None])
@pytest.mark.parametrize("kind", ["JPEG", "MPO", "WEBP"])
def test_the_orientation_of_a_jpeg_is_followed_wherever_it_is(kind: str, tag: str | None) -> None:
    image = Image.fromarray(picture(5, 8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    options = {"exif": {"exif": exif}, "xmp": {"xmp": xmp}, None: {}}[tag]
    several = {"save_all": True, "append_images": [image]} if kind == "MPO" else {}
    before = decode(encoded(image, kind, quality=95, **options, **several), RGB)[1]
    assert before == ((8, 16) if tag is None else (16, 8))


def test_the_orientation_of_a_photograph_is_followed() -> None:
    pixels = picture(5, 8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    turned, _ = decode(encoded(Image.fromarray(pixels), "PNG", exif=exif), RGB)
    np.testing.assert_array_equal(turned.transpose(1, 2, 0), np.rot90(pixels, -1))


def test_sixteen_bits_are_kept_in_float32_and_scaled_in_uint8() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    data = encoded(Image.fromarray(values), "TIFF")
    fine, _ = decode(data, Target(8, "resize", 1, "float32"))
    np.testing.assert_allclose(fine[0], values / 65535, atol=1e-6)
    coarse, _ = decode(data, GREY)
    np.testing.assert_array_equal(coarse[0], np.rint(values / 257))


def test_what_is_transparent_is_black() -> None:
    pixels = np.dstack([picture(1, 8, 8), np.zeros((8, 8), np.uint8)])
    pixels[2:6, 2:6, 3] = 255
    image, _ = decode(encoded(Image.fromarray(pixels)), RGB)
    assert (image[:, :2] == 0).all() and image[:, 3, 3].any()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that announces 2.5 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def animated() -> bytes:
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])


def not_a_number() -> bytes:
    values = np.full((8, 8), 0.5, np.float32)
    values[2, 3] = np.nan
    return encoded(Image.fromarray(values), "TIFF")


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"cat,dog", "is not a PNG, JPEG, TIFF, BMP or WebP image, by its first bytes"),
    "a web page": (b"<html>", "is a web page"),
    "a GIF": (encoded(Image.fromarray(picture(1)), "GIF"), "is a GIF"),
    "cut": (encoded(Image.fromarray(picture(1)))[:-60], "cannot be decoded"),
    "enormous": (bomb(), "has more than the 67,108,864 pixels"),
    "animated": (animated(), "holds 3 images, animated or in pages"),
    "constant": (encoded(Image.new("RGB", (9, 9), (7, 7, 7))), "is constant: every pixel is 7"),
    "of one colour": (
        encoded(Image.new("RGB", (9, 9), (200, 30, 30))),
        "is constant: every pixel is (200, 30, 30)",
    ),
    "not a number": (not_a_number(), "has values from nan to nan"),
}


@pytest.mark.parametrize(("data", "words"), BAD.values(), ids=BAD)
def test_a_bad_image_is_refused_with_a_reason(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(data)
    for file in (data, tmp_path / "image.png"):
        with pytest.raises(ValueError) as error:
            decode(file, RGB)
        assert str(error.value).startswith(words) and "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about damaged tags
@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    place=st.integers(0, 3000),
    piece=st.binary(max_size=6),
    cut=st.integers(0, 50),
)
def test_a_damaged_image_is_decoded_or_refused(
    kind: str, place: int, piece: bytes, cut: int
) -> None:
    data = encoded(Image.fromarray(picture(2)), kind)
    place %= len(data)
    try:
        image, _ = decode(data[:place] + piece + data[place + cut :], RGB)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert image.shape == (3, 8, 8) and image.dtype == np.uint8
