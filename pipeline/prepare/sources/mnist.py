"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28."""

from __future__ import annotations

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.fetch.raw_files import RawFile, find_files
from pipeline.prepare.labelled_images import GivenSplits, LabelledImages
from pipeline.prepare.sources.idx import read_idx

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def mnist_files(
    mirrors: tuple[str, ...], published: tuple[tuple[int, str], ...]
) -> tuple[RawFile, ...]:
    """Return the four files of the layout of MNIST, with their published sizes and checksums."""
    return tuple(
        RawFile(name, size, checksum, tuple(mirror + name for mirror in mirrors))
        for name, (size, checksum) in zip(_NAMES, published, strict=True)
    )


# The four files as published; their MD5 sums are f68b3c2d..., d53e105e..., 9fb629c4..., ec29112d...
FILES = mnist_files(
    _MIRRORS,
    (
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
)


def read() -> GivenSplits:
    """Return the published ``train`` and ``test``."""
    return read_mnist_files("mnist", FILES)


def read_mnist_files(name: str, files: tuple[RawFile, ...]) -> GivenSplits:
    """Return train and test of a data set whose four files are laid out as those of MNIST."""
    found = find_files(name, files)
    paths = [found[file.name] for file in files]
    by_split: GivenSplits = {}
    for split, images, labels in zip(("train", "test"), paths[::2], paths[1::2], strict=True):
        pixels, numbers = read_idx(images, dimensions=3), read_idx(labels, dimensions=1)
        if len(pixels) != len(numbers):
            raise UserError(
                f"{labels}: holds {len(numbers):,} labels for the {len(pixels):,} images of "
                f"{images.name}: fetch both again"
            )
        by_split[split] = LabelledImages(pixels[:, None], numbers.astype(np.int64))
    return by_split
