"""The handwritten digits that scikit-learn carries: 1,797 images of 8x8, no download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.prepare.labelled_images import GivenSplits, LabelledImages


def read() -> GivenSplits:
    """Return all images, without a split; grey levels 0 to 16 become 0 to 1, without loss.

    The file is read by itself: importing scikit-learn takes longer than all else.
    """
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz"
    with gzip.open(file, "rt") as rows:
        table = np.loadtxt(rows, delimiter=",")
    grey = (table[:, :-1] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return {"all": LabelledImages(grey, table[:, -1].astype(np.int64))}
