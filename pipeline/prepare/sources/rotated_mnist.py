"""Rotated MNIST, generated from MNIST by the published protocol; not the archive of 2007."""

from __future__ import annotations

import numpy as np

from pipeline.prepare.labelled_images import GivenSplits, LabelledImages
from pipeline.prepare.sources import mnist

# Larochelle et al. (2007) drew 12,000 images for training, the last 2,000 of them for validation,
# and 50,000 for the test from MNIST, and turned each by a uniform angle.
SIZES = {"train": 10_000, "validation": 2_000, "test": 50_000}

# Part of what the data set is: a study's own seed does not change which images are in it.
_SEED = 2007


def read() -> GivenSplits:
    """Return the three given splits: upright images, each with the angle it is to be turned by."""
    given = mnist.read()
    both = LabelledImages(
        np.concatenate([given["train"].images, given["test"].images]),
        np.concatenate([given["train"].labels, given["test"].labels]),
    )
    generator = np.random.default_rng(_SEED)
    order = generator.permutation(len(both))
    degrees = generator.uniform(0, 360, len(both))
    turned = LabelledImages(both.images, both.labels, degrees)
    ends = np.cumsum(list(SIZES.values()))
    return {
        name: turned.take(order[end - size : end])
        for (name, size), end in zip(SIZES.items(), ends, strict=True)
    }
