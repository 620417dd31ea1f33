"""Fashion-MNIST: articles of clothing in the layout of MNIST, 28x28."""

from __future__ import annotations

from pipeline.prepare.fetch.raw_files import RawFile
from pipeline.prepare.parts import Parts
from pipeline.prepare.sources.mnist import read_four

__all__ = ["FILES", "read"]

_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

# With the MD5 sums that its authors publish.
_PUBLISHED = (
    ("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
)

FILES = tuple(
    RawFile(name, size, checksum, tuple(mirror + name for mirror in _MIRRORS))
    for name, size, checksum in _PUBLISHED
)


def read() -> Parts:
    """Return the published ``train`` and ``test``."""
    return read_four("fashion-mnist", FILES)
