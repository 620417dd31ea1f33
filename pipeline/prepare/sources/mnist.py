"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28."""

from __future__ import annotations

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.fetch.raw_files import RawFile, find_files
from pipeline.prepare.parts import Images, Parts
from pipeline.prepare.sources.idx import read_idx

__all__ = ["FILES", "read", "read_four"]

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def _file(name: str, size: int, sha256: str) -> RawFile:
    return RawFile(name, size, sha256, tuple(mirror + name for mirror in _MIRRORS))


# The four files as published; their MD5 sums are f68b3c2d..., d53e105e..., 9fb629c4..., ec29112d...
FILES = (
    _file(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    _file(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    _file(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    _file(
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)


def read() -> Parts:
    """Return the published ``train`` and ``test``."""
    return read_four("mnist", FILES)


def read_four(name: str, files: tuple[RawFile, ...]) -> Parts:
    """Return the parts of a data set in the layout of MNIST: images, labels, images, labels."""
    found = find_files(name, files)
    paths = [found[file.name] for file in files]
    parts: Parts = {}
    for part, images, labels in zip(("train", "test"), paths[::2], paths[1::2], strict=True):
        pixels, numbers = read_idx(images, dimensions=3), read_idx(labels, dimensions=1)
        if len(pixels) != len(numbers):
            raise UserError(
                f"{labels}: holds {len(numbers):,} labels for the {len(pixels):,} images of "
                f"{images.name}: fetch both again"
            )
        parts[part] = Images(pixels[:, None], numbers.astype(np.int64))
    return parts
