"""Identify by its first bytes a file that is not a supported image, and advise what to do."""

from __future__ import annotations

import zlib

HEAD = 1024  # bytes to look at
READ = "PNG, JPEG, TIFF, BMP or WebP"

_CONVERT = "convert it to PNG or JPEG"
_RAW = "a raw camera file: develop it to TIFF or PNG"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", f"a GIF: {_CONVERT}"),
    (b"%PDF", f"a PDF: {_CONVERT}"),
    (b"8BPS", f"a Photoshop file: {_CONVERT}"),
    (b"\0\0\0\x0cjP  ", f"a JPEG 2000 image: {_CONVERT}"),
    (b"\xff\x4f\xff\x51", f"a JPEG 2000 image: {_CONVERT}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL image: {_CONVERT}"),
    (b"\xff\x0a", f"a JPEG XL image: {_CONVERT}"),
    (b"v/1\x01", f"an OpenEXR image: {_CONVERT}"),
    (b"\x89HDF", "an HDF5 file: save its images as arrays (kind: arrays)"),
    (b"\x93NUMPY", "a file of numpy: read it by kind: arrays"),
    (b"PAR1", "a Parquet file: read it by kind: parquet"),
    (b"PK\3\4", "a zip archive: unpack it"),
    (b"\0\5\x16\7", "an AppleDouble file, made by macOS next to the image: remove it"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the image: run `git lfs pull`"),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"MMOR", _RAW),
    (b"IIU\0", _RAW),
    (b"FOVb", _RAW),
    (b"\0MRM", _RAW),
)
_BRANDS = {
    b"heic": "a HEIC photograph", b"heix": "a HEIC photograph", b"heim": "a HEIC photograph",
    b"heis": "a HEIC photograph", b"hevc": "a HEIC sequence", b"hevx": "a HEIC sequence",
    b"mif1": "a HEIF photograph", b"msf1": "a HEIF sequence", b"avif": "an AVIF image",
    b"avis": "an AVIF sequence",
}  # fmt: skip
_DAMAGED = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"RIFF", "WebP"),
)
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_OTHER_IMAGES = frozenset(
    {
        ".heic", ".heif", ".hif", ".avif", ".gif", ".svg", ".jp2", ".j2k", ".jxl", ".psd",
        ".exr", ".dcm", ".dicom", ".nii", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf",
        ".rw2", ".raf", ".pgm", ".ppm", ".pnm", ".tga", ".ico",
    }
)  # fmt: skip


def hint_of(suffix: str) -> str:
    """Return advice on files that are left out, if their suffix is that of an image.

    Examples
    --------
    >>> hint_of(".heic"), hint_of(".txt")
    (', images that are not read: convert them to PNG or JPEG', '')
    """
    known = suffix in _OTHER_IMAGES
    return ", images that are not read: convert them to PNG or JPEG" if known else ""


def is_tiff(head: bytes) -> bool:
    """Whether a file starts as a TIFF, BigTIFF included."""
    return head[:4] in _TIFFS


def is_raw(head: bytes) -> bool:
    """Whether a file that starts as a TIFF is a raw photograph of a Canon camera."""
    return is_tiff(head) and head[8:10] == b"CR"


def refusal_of(head: bytes) -> str:
    """Return why a file cannot be decoded, without its name.

    Examples
    --------
    >>> refusal_of(b"GIF89a")
    'is a GIF: convert it to PNG or JPEG'
    """
    if not head:
        return "is empty"
    if (name := _named(head)) is not None:
        return f"is {name}"
    for start, kind in _DAMAGED:
        if head.startswith(start):
            return f"cannot be decoded: it starts as a {kind} image but is damaged"
    return f"is not a {READ} image, by its first bytes"


def _named(head: bytes) -> str | None:
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if is_raw(head):
        return _RAW
    if head[4:8] == b"ftyp":
        if head[8:11] == b"crx":
            return _RAW
        kinds = [_BRANDS[brand] for brand in (head[8:12], head[16:20]) if brand in _BRANDS]
        return f"{kinds[0]}: {_CONVERT}" if kinds else f"a video, not an image: {_CONVERT}"
    if head[128:132] == b"DICM":
        return "a DICOM file: save its pixels as arrays (kind: arrays) or 16-bit PNG"
    if _is_nifti(head):
        return "a NIfTI volume: save its slices as arrays (kind: arrays)"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip file: unpack it"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return f"an SVG drawing: {_CONVERT}"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, not the image that was asked for: fetch it again"
    return None


def _is_nifti(head: bytes) -> bool:
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(31).decompress(head, 352)
        except zlib.error:
            return False
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")
