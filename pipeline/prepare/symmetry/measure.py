"""Measure under which turns and mirrors the images and the labels of a data set stay the same.

For each transformation two questions are asked, with cross-fitted classifiers:

1. *Images.* Of an image and its transformed copy, which is the original? A score of single images
   is fitted, and the one with the higher score is taken. Half of the answers are right where the
   images have no preferred orientation.
2. *Labels.* A classifier of the labels is fitted on the images as they are. Does it give copies
   the label of their image? Copies that look like no image of the data say nothing: each counts
   by how hard it is to distinguish from its image, by the first question.

As Lawrence et al. (2025, https://arxiv.org/abs/2510.01349) ask them. Here the classifiers are
kernel ridge regressions, and the first compares the two images of a pair, so that chance is one
half whatever the classifier does. Only quarter turns and mirrors are tested: other angles
interpolate, which a classifier can see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.prepare.symmetry.kernels import Element, fitted, kernels, relative, small_images

__all__ = ["MOST_IMAGES", "TRANSFORMATIONS", "measure_symmetry"]

MOST_IMAGES = 2000
_FOLDS, _BINS, _FLIPS = 5, 10, 4000
_Z = 2.5758  # of intervals of 99 %

TRANSFORMATIONS: dict[str, tuple[Element, ...]] = {
    "half turn": ((2, False),),
    "quarter turn": ((1, False), (3, False)),
    "mirror": ((0, True),),
}
_SAME: Element = (0, False)


def measure_symmetry(
    images: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    classes: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Return accuracies, intervals and words for each of `TRANSFORMATIONS`.

    Parameters
    ----------
    images
        ``(count, channels, height, width)`` that training may see; at most `MOST_IMAGES` is quick.
    labels
        ``(count,)``.
    groups
        ``(count,)``, numbers: images of one group are predicted together; or None.
    classes
        Number of classes.
    generator
        Decides the folds and the null distribution.
    """
    clusters = (
        np.arange(len(images)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    if clusters.max(initial=0) + 1 < _FOLDS:  # too few to fit without one of them
        clusters = np.arange(len(images))
    folds = (generator.permutation(clusters.max() + 1) % _FOLDS)[clusters]
    signs = generator.choice((-1.0, 1.0), (_FLIPS, clusters.max() + 1))
    sample = _Sample(labels, classes, clusters, folds, signs)
    tables = kernels(small_images(images))
    found = {}
    for name, elements in TRANSFORMATIONS.items():
        used = _joined_with_turns(tables) if name == "mirror" else tables
        found[name] = _measure(used, elements, sample)
    return {
        "images": len(images),
        "groups": len(np.unique(clusters)) if len(np.unique(clusters)) < len(images) else None,
        "majority": float(np.bincount(labels).max() / len(labels)),
        "tests": found,
    }


@dataclass(frozen=True)
class _Sample:
    """What all transformations share; the signs flip the answers of whole groups."""

    labels: np.ndarray
    classes: int
    clusters: np.ndarray
    folds: np.ndarray
    signs: np.ndarray


def _joined_with_turns(tables: dict[Element, np.ndarray]) -> dict[Element, np.ndarray]:
    """Add kernels averaged over quarter turns, which see a mirror whatever way up an image is."""
    means = {
        mirrored: sum(tables[quarter, mirrored] for quarter in range(4)) / 2
        for mirrored in (False, True)
    }
    return {element: table + means[element[1]] for element, table in tables.items()}


def _measure(
    tables: dict[Element, np.ndarray], elements: tuple[Element, ...], sample: _Sample
) -> dict[str, Any]:
    right, hardness = _which_is_original(tables, elements, sample)
    targets = np.eye(sample.classes)[sample.labels] - 1 / sample.classes
    rows = [tables[relative(element, _SAME)] for element in elements]
    guesses = fitted(tables[_SAME], targets, [tables[_SAME], *rows], sample.folds)
    correct = [guess.argmax(1) == sample.labels for guess in guesses]
    copies = np.mean(correct[1:], axis=0)
    change = hardness * (correct[0] - copies)
    images, labels = _interval(right, sample), _interval(change, sample)
    known = float(np.bincount(sample.labels).max() / len(sample.labels))
    return {
        "images_accuracy": float(right.mean()),
        "images_interval": [max(images[0], 0.0), min(images[1], 1.0)],
        "images_p": _p(right - 0.5, sample),
        "plausible_copies": float(hardness.mean()),
        "label_accuracy": float(correct[0].mean()),
        "label_accuracy_of_copies": float(copies.mean()),
        "label_change": float(change.mean()),
        "label_change_interval": labels,
        "label_change_p": _p(change, sample),
        "labels_learned": bool(correct[0].mean() > known + (1 - known) / 10),
    }


def _which_is_original(
    tables: dict[Element, np.ndarray], elements: tuple[Element, ...], sample: _Sample
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of right answers of each image, and how hard its pair is, 0 to 1.

    The score is fitted so that images less the mean of their copies get 1; by this difference it
    has no direction of its own among turns.
    """
    parts = {_SAME: 1.0, **{element: -1 / len(elements) for element in elements}}
    kernel = sum(
        a * b * tables[relative(one, other)]
        for one, a in parts.items()
        for other, b in parts.items()
    )
    rows = [
        np.sum([b * tables[relative(one, other)] for other, b in parts.items()], axis=0)
        for one in (_SAME, *elements)
    ]
    scores = fitted(np.asarray(kernel), np.ones((len(sample.labels), 1)), rows, sample.folds)
    margins = np.stack([(scores[0] - score)[:, 0] for score in scores[1:]])
    right = ((margins > 0) + 0.5 * (margins == 0)).mean(0)
    return right, _hardness(np.abs(margins).mean(0), right)


def _hardness(distance: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return twice the error of pairs at about this distance, which says nothing of their order."""
    ranks = distance.argsort(kind="stable").argsort(kind="stable")
    bins = ranks * _BINS // len(ranks)
    accuracy = np.bincount(bins, right) / np.bincount(bins)
    return (2 * (1 - np.maximum(accuracy, 0.5)))[bins]


def _sums(values: np.ndarray, sample: _Sample) -> np.ndarray:
    return np.bincount(sample.clusters, values)


def _interval(values: np.ndarray, sample: _Sample) -> list[float]:
    """Return a 99 % interval of a mean, over images, or over groups where there are any.

    Wilson's, whose number of images is smaller where images of a group are alike.
    """
    count, mean = len(values), float(values.mean())
    spread = np.square(_sums(values - mean, sample)).sum() / count**2
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        binomial = mean * (1 - mean)
        effective = min(float(count), binomial / spread) if spread > 0 else float(count)
        middle = (mean + _Z**2 / (2 * effective)) / (1 + _Z**2 / effective)
        half = _Z * np.sqrt(binomial / effective + (_Z / (2 * effective)) ** 2)
        half /= 1 + _Z**2 / effective
        return [float(middle - half), float(middle + half)]
    half = _Z * float(np.sqrt(spread))
    return [mean - half, mean + half]


def _p(values: np.ndarray, sample: _Sample) -> float:
    """Return how often the mean is as large when images and copies change places at random.

    The places of all images of a group change together: the permutation null of what is predicted
    of a fold by a classifier that has not seen it.
    """
    sums = _sums(values, sample)
    null = sample.signs @ sums
    return float((1 + (null >= sums.sum() - 1e-9).sum()) / (1 + len(null)))
