"""Formats of image files: which are read, and how others are named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from images import fill, own, picture
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.prepare.sources.open_source import open_source

SIDE = 8


def phone(kind: str) -> bytes:
    """A photograph with a smaller picture behind it."""
    buffer = io.BytesIO()
    large, small = (Image.fromarray(picture(seed, 8 * seed, 8 * seed)) for seed in (4, 1))
    if kind == "MPO":
        large.save(buffer, "MPO", save_all=True, append_images=[small])
    elif kind == "JPEG with a preview":
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
        large.save(buffer, "JPEG", exif=exif)
    else:
        small.encoderinfo = {"tiffinfo": {254: 1 if kind == "TIFF with a preview" else 4}}
        large.save(buffer, "TIFF", save_all=True, append_images=[small])
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["MPO", "JPEG with a preview", "TIFF with a preview", "TIFF with a mask"]
)
def test_the_first_picture_is_the_photograph(kind: str, tmp_path: Path) -> None:
    fill(tmp_path / "set", 8)
    (tmp_path / "set/cat/phone.jpg").write_bytes(phone(kind))
    opened = open_source("mine", own(tmp_path / "set"), tmp_path)
    images = opened.given["all"].images
    assert images.read(0, 17).sizes.max() == 32  # type: ignore[union-attr]


@pytest.mark.parametrize(("lossless", "suffix"), [(True, "webp"), (False, "WEBP")])
def test_webp_is_read(lossless: bool, suffix: str, tmp_path: Path) -> None:
    fill(tmp_path / "set", 8)
    image = Image.fromarray(picture(900, SIDE, SIDE))
    image.save(tmp_path / f"set/cat/zzz.{suffix}", "WEBP", lossless=lossless)
    part = open_source("mine", own(tmp_path / "set"), tmp_path).given["all"]
    found = part.images.read(8, 9).images[0].transpose(1, 2, 0)  # type: ignore[union-attr]
    assert np.abs(found.astype(int) - np.asarray(image)).mean() <= (0 if lossless else 12)


NAMED: dict[str, tuple[bytes, str]] = {
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC photograph"),
    "HEIF": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "is a HEIF photograph"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1", "is a raw camera file"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0", "is a raw camera file"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "is a raw camera file"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0", "is a video"),
    "SVG": (b"<?xml version='1.0'?>\n<svg xmlns=''/>", "is an SVG drawing"),
    "DICOM": (bytes(128) + b"DICM", "is a DICOM file"),
    "NIfTI": (bytes(344) + b"n+1\0" + bytes(9), "is a NIfTI volume"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 image"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    "cut PNG": (b"\x89PNG\r\n\x1a\n\0\0", "cannot be decoded"),
    "cut WebP": (b"RIFF\0\0\0\0WEBPVP8 ", "cannot be decoded"),
}


@pytest.mark.parametrize(("data", "words"), NAMED.values(), ids=NAMED)
def test_a_file_is_called_what_it_is(data: bytes, words: str, tmp_path: Path) -> None:
    fill(tmp_path / "set", 4)
    (tmp_path / "set/cat/x.png").write_bytes(data)
    part = open_source("mine", own(tmp_path / "set"), tmp_path).given["all"]
    with pytest.raises(UserError) as error:
        part.images.read(0, len(part))  # type: ignore[union-attr]
    (problem,) = error.value.problems
    assert problem.startswith(f"{tmp_path / 'set/cat/x.png'}: {words}")
