"""Fashion-MNIST: articles of clothing in the layout of MNIST, 28x28."""

from __future__ import annotations

from pipeline.prepare.labelled_images import GivenSplits
from pipeline.prepare.sources.mnist import mnist_files, read_mnist_files

_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

# With the MD5 sums that its authors publish.
FILES = mnist_files(
    _MIRRORS,
    (
        (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
        (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
)


def read() -> GivenSplits:
    """Return the published ``train`` and ``test``."""
    return read_mnist_files("fashion-mnist", FILES)
