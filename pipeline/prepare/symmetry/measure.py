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

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.prepare.symmetry.kernels import Element, fitted, kernels, relative, small_images

__all__ = ["MOST_IMAGES", "TRANSFORMATIONS", "measure_symmetry"]

MOST_IMAGES = 2000
_FOLDS, _BINS, _FLIPS = 5, 10, 199
_MANY = 16  # groups, from which on a draw is hardly ever that of another
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
    signs = swaps(int(clusters.max()) + 1, generator)
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


def swaps(groups: int, generator: np.random.Generator) -> np.ndarray:
    """Draw in which groups images and copies change places, ``(draws, groups)``, -1 where they do.

    To swap none or all of the groups gives the answers of the data themselves. Where groups are so
    few that a draw may well do so or repeat another, draws are different and never these two.

    >>> swaps(3, np.random.default_rng(0)).shape
    (3, 3)
    """
    if groups > _MANY:
        return generator.choice((-1.0, 1.0), (_FLIPS, groups))
    numbers = generator.permutation(np.arange(1, 2 ** (groups - 1)))[:_FLIPS]
    return 1.0 - 2.0 * (numbers[:, None] >> np.arange(groups) & 1)


@dataclass(frozen=True)
class _Sample:
    """What all transformations share; signs exchange images and copies, those of a group alike."""

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
    right, null, hardness = _which_is_original(tables, elements, sample)
    known = float(np.bincount(sample.labels).max() / len(sample.labels))
    targets = np.eye(sample.classes)[sample.labels] - 1 / sample.classes
    rows = [tables[relative(element, _SAME)] for element in elements]
    guesses = fitted(tables[_SAME], targets, [tables[_SAME], *rows], sample.folds)
    correct = [guess.argmax(1) == sample.labels for guess in guesses]
    copies = np.mean(correct[1:], axis=0)
    change = hardness * (correct[0] - copies)
    accuracy = float(right.mean())
    return {
        "images_accuracy": accuracy,
        "images_interval": _wilson(right, sample.clusters),
        "images_null": [float(null.mean()), float(null.std())],
        "images_p": float((1 + (null >= accuracy - 1e-9).sum()) / (1 + len(null))),
        "plausible_copies": float(hardness.mean()),
        "label_accuracy": float(correct[0].mean()),
        "label_accuracy_of_copies": float(copies.mean()),
        "label_change": float(change.mean()),
        "label_change_interval": _interval(change, sample.clusters),
        "labels_learned": bool(correct[0].mean() > known + (1 - known) / 10),
    }


def _which_is_original(
    tables: dict[Element, np.ndarray], elements: tuple[Element, ...], sample: _Sample
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of right answers of each image, their null, and how hard each pair is.

    The score is fitted so that an image less the mean of its copies gets 1. The null are mean
    answers where images and copies changed places at random before the fit, all of a group
    together: 0.5 on average, with a larger spread than the binomial one of independent answers,
    since a pair helps to answer the pairs that helped to answer it.
    """
    parts = {_SAME: 1.0, **{element: -1 / len(elements) for element in elements}}

    def scores_of(moved: Element) -> np.ndarray:
        rows = [b * tables[relative(moved, other)] for other, b in parts.items()]
        return np.asarray(np.sum(rows, axis=0))

    rows = {moved: scores_of(moved) for moved in parts}
    kernel = np.sum([a * rows[moved] for moved, a in parts.items()], axis=0)
    margins = [rows[_SAME] - rows[element] for element in elements]
    signs = np.vstack([np.ones(len(sample.clusters)), sample.signs[:, sample.clusters]]).T
    found = np.stack(fitted(kernel, signs, margins, sample.folds)) * signs
    right = ((found > 0) + 0.5 * (found == 0)).mean(0)
    hardness = _hardness(np.abs(found[..., 0]).mean(0), right[:, 0])
    return right[:, 0], right[:, 1:].mean(0), hardness


def _hardness(distance: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return twice the error of pairs at about this distance, which says nothing of their order."""
    ranks = distance.argsort(kind="stable").argsort(kind="stable")
    bins = ranks * _BINS // len(ranks)
    accuracy = np.bincount(bins, right) / np.bincount(bins)
    return (2 * (1 - np.maximum(accuracy, 0.5)))[bins]


def _wilson(right: np.ndarray, clusters: np.ndarray) -> list[float]:
    """Return the 99 % interval of Wilson of a share of right answers.

    Answers count half, since answers of different folds depend on each other, and less where
    those of a group are alike.
    """
    share, count = float(right.mean()), len(right) / 2
    variance = 2 * float(np.square(np.bincount(clusters, right - share)).sum()) / len(right) ** 2
    if variance > 0:
        count = min(count, share * (1 - share) / variance)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    half /= 1 + _Z**2 / count
    return [max(middle - half, 0.0), min(middle + half, 1.0)]


def _interval(values: np.ndarray, clusters: np.ndarray) -> list[float]:
    """Return the 99 % interval of a mean, by the sums over images of a group."""
    mean = float(values.mean())
    half = _Z * float(np.linalg.norm(np.bincount(clusters, values - mean))) / len(values)
    return [mean - half, mean + half]
