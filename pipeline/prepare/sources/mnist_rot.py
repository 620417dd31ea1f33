"""Rotated MNIST as published in 2007: two text files in a zip archive."""

from __future__ import annotations

from pipeline.prepare.fetch.archives import open_zip_member
from pipeline.prepare.fetch.raw_files import RawFile, find_files
from pipeline.prepare.labelled_images import GivenSplits, LabelledImages
from pipeline.prepare.sources.amat import parse_amat

FILES = (
    RawFile(
        "mnist_rotation_new.zip",
        None,
        "0f9a947ff3d30e95cd685462cbf3b847",
        ("http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_rotation_new.zip",),
    ),
)

# Lines of each file; the last 2,000 of the first are the validation of its authors.
SIZES = {"train_valid": 12_000, "test": 50_000}
VALIDATION = 2_000

_SIDE, _CLASSES = 28, 10
_MOST_LINE = 28 * 28 * 32  # bytes


def read() -> GivenSplits:
    """Return the published ``train``, ``validation`` and ``test``."""
    path = find_files("mnist-rot", FILES)[FILES[0].name]
    read: GivenSplits = {}
    for split, rows in SIZES.items():
        member = f"mnist_all_rotation_normalized_float_{split}.amat"
        with open_zip_member(path, member, rows * _MOST_LINE) as stream:
            images, labels = parse_amat(stream, rows, _SIDE**2, _CLASSES)
        read[split] = LabelledImages(images.reshape(-1, 1, _SIDE, _SIDE), labels)
    whole, cut = read["train_valid"], SIZES["train_valid"] - VALIDATION
    return {
        "train": LabelledImages(whole.images[:cut], whole.labels[:cut]),  # type: ignore[index]
        "validation": LabelledImages(whole.images[cut:], whole.labels[cut:]),  # type: ignore[index]
        "test": read["test"],
    }
