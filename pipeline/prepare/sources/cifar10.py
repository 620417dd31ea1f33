"""CIFAR-10: 50,000 training and 10,000 test photographs in ten classes, 32x32."""

from __future__ import annotations

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.fetch.archives import read_tar_members
from pipeline.prepare.fetch.raw_files import RawFile, find_files
from pipeline.prepare.labelled_images import GivenSplits, LabelledImages

# The binary version: plain bytes. The Python version is a pickle, which runs code when opened.
FILES = (
    RawFile(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c32a1d4ab5d03f1284b67883e8d87530",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    ),
)

ROWS = 10_000  # in each of the six files
_CHANNELS, _SIDE, _CLASSES = 3, 32, 10
_RECORD = 1 + _CHANNELS * _SIDE * _SIDE
_FOLDER = "cifar-10-batches-bin"
_BATCHES = {
    "train": tuple(f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6)),
    "test": (f"{_FOLDER}/test_batch.bin",),
}


def read() -> GivenSplits:
    """Return the published ``train`` and ``test``."""
    path = find_files("cifar10", FILES)[FILES[0].name]
    wanted = {name: ROWS * _RECORD for names in _BATCHES.values() for name in names}
    found = read_tar_members(path, wanted)
    try:
        return {
            split: parse_records(b"".join(found.pop(name) for name in names))
            for split, names in _BATCHES.items()
        }
    except ValueError as error:
        raise UserError(f"{path}: {error}: remove it and fetch it again") from error


def parse_records(data: bytes) -> LabelledImages:
    """Read records of a label and the planes of an image, red, green and blue.

    Raises
    ------
    ValueError
        For half a record, and for a label that is none.
    """
    if len(data) % _RECORD:
        raise ValueError(f"{len(data):,} bytes are no whole number of records of {_RECORD}")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if len(labels) and labels.max() >= _CLASSES:
        raise ValueError(f"record {int(labels.argmax()):,} has the label {labels.max()}")
    return LabelledImages(records[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE), labels)
