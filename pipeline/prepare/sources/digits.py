"""The handwritten digits that scikit-learn carries: 1,797 images of 8x8, no download."""

from __future__ import annotations

import numpy as np

from pipeline.prepare.labelled_images import GivenSplits, LabelledImages


def read() -> GivenSplits:
    """Return all images, without a split; grey levels 0 to 16 become 0 to 1, without loss."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    grey = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return {"all": LabelledImages(grey, labels.astype(np.int64))}
