"""Contrasts between cells with two sources of chance: the seeds and the test images.

A contrast gives every cell a weight: +1 and -1 for a pair, +-1/K for an effect averaged over K
matched pairs. Pure functions on arrays; `verdicts` turns their results into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pipeline.report.analysis.seed_variance import SeedVariance, moderated
from pipeline.study.source import FEWEST_GROUPS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What the finished runs of the cells of one data set scored on one kind of test images.

    Attributes
    ----------
    accuracy, variance, seeds
        (cells,): mean and sample variance over seeds (0 with one seed), number of seeds.
    images
        Number of test images.
    right
        (cells, images): mean over seeds of the score of each image; NaN for a cell, or None for
        all, whose predictions were not kept.
    groups
        (images,): number of the group of each image (font, patient); None without groups.
    noise
        (cells,): mean over images of the variance of their scores over seeds; 0 if unknown.
    """

    accuracy: Floats
    variance: Floats
    seeds: NDArray[np.int64]
    images: int
    right: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    noise: Floats | None = None

    @property
    def seed_part(self) -> SeedVariance:
        """Moderated variance over the seeds of every cell."""
        return moderated(self.accuracy, self.variance, self.seeds, self.images)

    @property
    def group_count(self) -> int:
        """Number of groups of test images, 0 without groups."""
        return 0 if self.groups is None else int(np.unique(self.groups).size)


def sample_of(correct: ArrayLike, groups: ArrayLike | None = None) -> Sample:
    """Return the sample of scores of shape (cells, seeds, images); a missing run is NaN."""
    scores = np.asarray(correct, dtype=np.float64)
    runs = scores.mean(axis=2)
    found = np.isfinite(runs)
    seeds = found.sum(axis=1)
    accuracy = np.nanmean(runs, axis=1)
    deviations = np.where(found, runs - accuracy[:, None], 0.0)
    variance = np.sum(deviations**2, axis=1) / np.maximum(seeds - 1, 1)
    codes = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    right = np.nanmean(scores, axis=1)
    squares = np.nansum((scores - right[:, None]) ** 2, axis=1) / np.maximum(seeds - 1, 1)[:, None]
    return Sample(accuracy, variance, seeds, scores.shape[2], right.astype(np.float32), codes,
                  squares.mean(axis=1))  # fmt: skip


@dataclass(frozen=True)
class Estimates:
    """Contrasts by row: difference, the parts of its variance and their degrees of freedom.

    `seed_part` and `image_part` are the variances by seeds and by images, NaN where nothing says
    how large one is (a single test image). Both hold the noise of a run on an image; `overlap` is
    that part, to be counted once. `floor` bounds the variance from below. `seeds_known` is
    false where a cell of the contrast has one seed and no other cell says how much seeds vary: the
    difference is then that of these trained networks.
    """

    difference: Floats
    seed_part: Floats
    seed_df: Floats
    image_part: Floats
    image_df: Floats
    overlap: Floats
    floor: Floats
    seeds_known: NDArray[np.bool_]

    def rows(self, places: Sequence[int]) -> Estimates:
        """Return some of the contrasts."""
        return Estimates(**{name: getattr(self, name)[list(places)] for name in _NAMES})

    @property
    def variance(self) -> Floats:
        """Variance of the difference, not below that of either part."""
        both = self.seed_part + self.image_part - self.overlap
        larger = np.maximum(self.seed_part, self.image_part)
        return np.maximum(np.maximum(both, larger), self.floor)

    @property
    def df(self) -> Floats:
        """Degrees of freedom of the variance: the harmonic mean over its parts, weighted by them.

        Satterthwaite's formula weighs by squares and is too generous where a part has few. What
        the floor adds belongs to the images.
        """
        images = np.maximum(self.image_part, self.floor - self.seed_part)
        inverse = _over(self.seed_part, self.seed_df) + _over(images, self.image_df)
        return (self.seed_part + images) / inverse

    @property
    def t(self) -> Floats:
        """Student's t of every contrast."""
        return self.difference / np.sqrt(self.variance)

    @property
    def p(self) -> Floats:
        """Two-sided p-value of the hypothesis that the difference is zero."""
        return 2 * special.stdtr(self.df, -np.abs(self.t))

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return the ends of the two-sided interval."""
        half = special.stdtrit(self.df, (1 + confidence) / 2) * np.sqrt(self.variance)
        return self.difference - half, self.difference + half

    def beyond(self, margin: float) -> tuple[Floats, Floats]:
        """Return the probabilities that the difference is above `margin` and below `-margin`."""
        scale = np.sqrt(self.variance)
        better = special.stdtr(self.df, (self.difference - margin) / scale)
        worse = special.stdtr(self.df, (-self.difference - margin) / scale)
        return better, worse


_NAMES = [field.name for field in fields(Estimates)]


def estimate(sample: Sample, weights: ArrayLike) -> Estimates:
    """Estimate contrasts `weights` of shape (contrasts, cells).

    `V = sum_c w_c^2 v_c / n_c + V_img - overlap`, not below `2 / (m + 2)^2` for m test images.
    """
    w = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    part = sample.seed_part
    each = w**2 * (part.variance / sample.seeds)
    images, image_df = _image_part(sample, w)
    return Estimates(
        difference=w @ sample.accuracy,
        seed_part=each.sum(axis=1),
        seed_df=_df(each.T, part.df[:, None]),
        image_part=images,
        image_df=np.full(len(w), image_df),
        overlap=_overlap(sample, w),
        floor=np.full(len(w), 2 / (sample.images + 2) ** 2),
        seeds_known=np.array([bool(np.all(part.df[row != 0] > 0)) for row in w]),
    )


def mean_of(estimates: Sequence[Estimates]) -> Estimates:
    """Return the mean over independent data sets of contrasts that stand in the same rows."""
    k = len(estimates)
    all_of = {name: np.array([getattr(one, name) for one in estimates]) for name in _NAMES}
    seeds, images = all_of["seed_part"] / k**2, all_of["image_part"] / k**2
    return Estimates(
        difference=all_of["difference"].mean(axis=0),
        seed_part=seeds.sum(axis=0),
        seed_df=_df(seeds, all_of["seed_df"]),
        image_part=images.sum(axis=0),
        image_df=_df(images, all_of["image_df"]),
        overlap=all_of["overlap"].sum(axis=0) / k**2,
        floor=all_of["floor"].sum(axis=0) / k**2,
        seeds_known=np.atleast_1d(all_of["seeds_known"].all(axis=0)),
    )


def joined(estimates: Sequence[Estimates]) -> Estimates:
    """Return the contrasts of several estimates one below the other."""
    return Estimates(**{
        name: np.concatenate([getattr(one, name) for one in estimates]) for name in _NAMES
    })  # fmt: skip


def over_splits(differences: Floats, test_to_train: ArrayLike) -> Estimates:
    """Estimate contrasts from their differences of shape (contrasts, splits) on several splits.

    The split is the unit. Splits share training images, so the variance of their mean is
    `(1 / k + n_test / n_train) S^2` (Nadeau and Bengio 2003). A split on which a contrast is NaN
    is none of its k; with one split nothing says how large the variance is.
    """
    rows, found = len(differences), np.isfinite(differences)
    nothing, k = np.zeros(rows), found.sum(axis=1)
    mean = np.where(found, differences, 0).sum(axis=1) / np.where(k > 0, k, np.nan)
    squares = np.where(found, differences - mean[:, None], 0) ** 2
    variance = squares.sum(axis=1) / np.where(k > 1, k - 1, np.nan)
    return Estimates(
        difference=mean,
        seed_part=nothing,
        seed_df=nothing,
        image_part=(1 / np.maximum(k, 1) + test_to_train) * variance,
        image_df=k - 1.0,
        overlap=nothing,
        floor=np.full(rows, 1e-12),
        seeds_known=np.ones(rows, dtype=np.bool_),
    )


def _image_part(sample: Sample, w: Floats) -> tuple[Floats, float]:
    """Variance of contrasts by the choice of the test images, and its degrees of freedom."""
    m, g = sample.images, sample.group_count
    if m < 2:
        return np.full(len(w), np.nan), 0.0
    # Without predictions nothing is known of images shared by cells: as if drawn for each.
    total = m * sample.seeds
    p = (total * sample.accuracy + 1) / (total + 2)
    binomial = w**2 @ (p * (1 - p)) / m
    if sample.right is None:
        return binomial, m - 1.0
    used = np.flatnonzero(np.any(w != 0, axis=0))
    d = w[:, used] @ sample.right[used].astype(np.float64)
    if sample.groups is None or g < FEWEST_GROUPS:
        variance, df = d.var(axis=1, ddof=1) / m, m - 1.0
    else:
        d -= d.mean(axis=1, keepdims=True)
        sums = np.stack([np.bincount(sample.groups, row, g) for row in d])
        variance, df = g / (g - 1) * np.sum(sums**2, axis=1) / m**2, g - 1.0
    return np.where(np.isfinite(variance), variance, binomial), df


def _overlap(sample: Sample, w: Floats) -> Floats:
    """What the parts of the variance share: the noise of runs on images, averaged over both."""
    if sample.noise is None or sample.right is None:
        return np.zeros(len(w))
    kept = np.isfinite(sample.right).all(axis=1)
    share = w**2 @ np.where(kept, sample.noise / sample.seeds / sample.images, 0.0)
    # With a cell whose predictions were not kept, images count as separate: nothing is shared.
    return np.where(((w != 0) & ~kept).any(axis=1), 0.0, share)


def _df(parts: Floats, df: Floats) -> Floats:
    """Degrees of freedom of the sum over the first axis of parts with their own."""
    inverse = _over(parts, df).sum(axis=0)
    total, least = parts.sum(axis=0), np.broadcast_to(df, parts.shape).min(axis=0)
    return np.where(inverse > 0, total / np.where(inverse > 0, inverse, 1), least)


def _over(part: Floats, df: Floats) -> Floats:
    return np.where(part == 0, 0.0, part / np.where(df == 0, 1.0, df))
