"""Samples of a study: what the runs of every cell scored on each test image, by measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import measures
from pipeline.report.analysis.cells import finished
from pipeline.report.analysis.contrasts import Estimates, Sample, estimate, over_splits
from pipeline.report.load import Study
from pipeline.report.predictions import Predictions

# Conditions of the predictions whose mean score is a measure of the runs.
CONDITIONS = {
    measures.UPRIGHT.column: ("upright",),
    measures.QUARTER.column: ("quarter_90", "quarter_180", "quarter_270"),
    measures.ANY_ANGLE.column: ("turned",),
    measures.BALANCED.column: ("upright",),
    measures.TTA_C4.column: ("tta_c4",),
    measures.TTA_D4.column: ("tta_d4",),
    # The orbit of a quarter-turned image is that of the upright one.
    measures.QUARTER_TTA_C4.column: ("tta_c4",),
    measures.ANY_ANGLE_TTA_C4.column: ("turned_tta_c4",),
    measures.ANY_ANGLE_TTA_D4.column: ("turned_tta_d4",),
}
# Measured on the first `measured_images` test images.
COSTLY = (
    measures.TTA_D4.column, measures.ANY_ANGLE_TTA_C4.column, measures.ANY_ANGLE_TTA_D4.column,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of a sample: a cell, and the column of the runs that is measured."""

    cell: int  # its id
    column: str

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions whose mean score it is."""
        return CONDITIONS[self.column]


@dataclass(frozen=True)
class Source:
    """The finished runs of one data set, with the ids of their cells, and their predictions."""

    runs: pd.DataFrame  # all runs, those that did not finish too
    predictions: Predictions

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The runs that completed."""
        return finished(self.runs)

    @cached_property
    def splits(self) -> int:
        """How many splits into training and test images the runs have."""
        return max(1, int(self.finished["split"].nunique()))

    def test_to_train(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Test images over training images of every row's runs, their mean."""
        ratio = (self.finished["test_images"] / self.finished["train_images"]).astype(np.float64)
        return np.array([ratio.iloc[self._found(row)].mean() for row in rows])

    def has(self, row: Row) -> bool:
        """Whether a run of the cell finished and has a value."""
        return row.column in self._values and bool(self._found(row).size)

    def images(self, row: Row) -> int:
        """How many test images the runs of a row were measured on."""
        keys = self._keys(row)
        lengths = [self.predictions.length(*key, row.conditions) for key in keys]
        kept = [length for length in lengths if length is not None]
        if kept:
            return min(kept)
        counts = ["test_images"]
        if row.column in COSTLY and "measured_images" in self.finished:
            counts.append("measured_images")
        fewest = min((self._values[name][self._found(row)].min() for name in counts), default=0)
        return int(fewest) if np.isfinite(fewest) else 0

    def excluded(self, row: Row) -> int:
        """How many runs of a row's cell have no value."""
        return int((self.runs["id"] == row.cell).sum()) - self._found(row).size

    def by_split(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Mean over seeds of every row on every split: (rows, splits); NaN where it has none."""
        found = [self.finished.iloc[self._found(row)] for row in rows]
        means = [
            part.groupby("split")[row.column].mean()
            for row, part in zip(rows, found, strict=True)
        ]  # fmt: skip
        return pd.concat(means, axis=1).to_numpy(dtype=np.float64, na_value=np.nan).T

    def seeds(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """The most runs of every row on one split."""
        found = [self.finished["split"].iloc[self._found(row)] for row in rows]
        return np.array([splits.value_counts().max() for splits in found], dtype=np.int64)

    @cached_property
    def _places(self) -> Mapping[int, NDArray[np.int64]]:
        """Places of the finished runs of every cell."""
        return {int(name): places for name, places in self.finished.groupby("id").indices.items()}

    @cached_property
    def _values(self) -> Mapping[str, NDArray[np.float64]]:
        """Columns of the finished runs that a row can name, and the numbers of images."""
        names = [measure.column for measure in measures.ALL] + ["test_images", "measured_images"]
        return {
            name: self.finished[name].to_numpy(dtype=np.float64, na_value=np.nan)
            for name in names
            if name in self.finished
        }

    @cached_property
    def _names(self) -> Sequence[tuple[str, int]]:
        """Cell and seed of the finished runs."""
        return list(zip(self.finished["cell"], self.finished["seed"], strict=True))

    @cached_property
    def _kept(self) -> frozenset[tuple[str, int]]:
        """Cell and seed of the runs whose predictions were kept."""
        return frozenset((cell, seed) for cell, seed, _ in self.predictions.correct)

    def _found(self, row: Row) -> NDArray[np.int64]:
        """Places of the finished runs of a row that have a value."""
        places = self._places.get(row.cell, np.zeros(0, dtype=np.int64))
        return places[np.isfinite(self._values[row.column][places])]

    def _keys(self, row: Row) -> Sequence[tuple[str, int]]:
        """Cell and seed of a row's runs whose predictions can be had."""
        if self.splits > 1:  # the test images of one split alone are known
            return []
        names = (self._names[place] for place in self._found(row))
        return [name for name in names if name in self._kept]

    def sample(self, rows: Sequence[Row], balanced: bool = False) -> Sample | None:
        """Return the sample of some rows, or None where a row has no finished run.

        Where rows were measured on different numbers of images, all are cut to the fewest.
        """
        found = [self.scores(row) for row in rows]
        known = self.predictions.images
        if not found or any(not one.runs.size for one in found) or (balanced and known is None):
            return None
        images = min(one.images for one in found)
        weights = balance(known.labels[:images]) if balanced and known is not None else None
        cut = [one.cut(images, weights) for one in found]
        kept = any(one.kept.size for one in cut)
        groups = None if known is None or self.splits > 1 else known.groups
        groups = None if groups is None else groups[:images]
        return Sample(
            accuracy=np.array([one.runs.mean() for one in cut]),
            variance=np.array([one.runs.var(ddof=1) if one.runs.size > 1 else 0.0 for one in cut]),
            seeds=np.array([one.runs.size for one in cut]),
            images=images,
            right=np.stack([one.right for one in cut]) if kept else None,
            groups=None if groups is None else np.unique(groups, return_inverse=True)[1],
            noise=np.array([one.noise for one in cut]),
        )

    def estimated(
        self, rows: Sequence[Row], weights: NDArray[np.float64], balanced: bool = False
    ) -> tuple[Sample, Estimates] | None:
        """Estimate contrasts of some rows; None where a row has no finished run.

        With several splits these are the unit of chance, and the sample has the seeds of one.
        """
        sample = self.sample(rows, balanced)
        if sample is None:
            return None
        if self.splits == 1:
            return sample, estimate(sample, weights)
        used = weights != 0
        each = np.where(used[:, :, None], weights[:, :, None] * self.by_split(rows), 0)
        ratio = np.where(used, self.test_to_train(rows), 0).max(axis=1)
        return replace(sample, seeds=self.seeds(rows)), over_splits(each.sum(axis=1), ratio)

    def scores(self, row: Row) -> Scores:
        """Return what the finished runs of a row scored."""
        images = self.images(row)
        found = [self.predictions.of(*key, row.conditions) for key in self._keys(row)]
        kept = [one[:images] for one in found if one is not None]
        scores = np.array(kept) if kept else np.zeros((0, images), dtype=np.float32)
        return Scores(self._values[row.column][self._found(row)], scores, images)


@dataclass(frozen=True)
class Scores:
    """Accuracy of every run of a row, and the scores (runs, images) of those that were kept."""

    runs: NDArray[np.float64]
    kept: NDArray[np.float32]
    images: int

    @property
    def right(self) -> NDArray[np.float32]:
        """Mean score of every image; NaN where none was kept."""
        if not self.kept.size:
            return np.full(self.images, np.nan, dtype=np.float32)
        return self.kept.mean(axis=0)

    @property
    def noise(self) -> float:
        """Mean over images of the variance over runs; 0 where fewer than two were kept."""
        several = len(self.kept) > 1 and self.images > 0
        return float(self.kept.var(axis=0, ddof=1, dtype=np.float64).mean()) if several else 0.0

    def cut(self, images: int, weights: NDArray[np.float64] | None) -> Scores:
        """Return the scores on the first images, weighted."""
        kept = self.kept[:, :images]
        if weights is not None:
            kept = (kept * weights).astype(np.float32)
        whole = len(kept) == len(self.runs) and (images < self.images or weights is not None)
        return Scores(kept.mean(axis=1, dtype=np.float64) if whole else self.runs, kept, images)


def sources_of(study: Study, runs: pd.DataFrame) -> dict[str, Source]:
    """Return the runs and predictions of every data set; `runs` have the ids of their cells."""
    return {
        str(name): Source(part, study.predictions.get(str(name), Predictions()))
        for name, part in runs.groupby("dataset", sort=False)
    }


def with_intervals(
    cells: pd.DataFrame, sources: Mapping[str, Source], confidence: float
) -> pd.DataFrame:
    """Give the measures of `CONDITIONS` intervals over seeds and test images, cut off at 0 and 1.

    A cell has none where nothing says how much its accuracy varies over seeds.
    """
    cells = cells.copy()
    for column in CONDITIONS:
        for name, source in sources.items():
            here = cells.index[cells["dataset"] == name]
            known = [i for i in here if source.has(Row(int(cells["id"][i]), column))]
            balanced = column == measures.BALANCED.column
            rows = [Row(int(cells["id"][i]), column) for i in known]
            estimated = source.estimated(rows, np.eye(len(known)), balanced)
            if estimated is None:
                continue
            found = estimated[1]
            low, high = found.interval(confidence)
            usable = found.seeds_known
            cells.loc[known, column + "_low"] = np.where(usable, np.maximum(low, 0), np.nan)
            cells.loc[known, column + "_high"] = np.where(usable, np.minimum(high, 1), np.nan)
    return cells


def balance(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of test images with which every class counts the same; their mean is 1.

    >>> balance(np.array([0, 0, 0, 1]))
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    _, place, count = np.unique(labels, return_inverse=True, return_counts=True)
    return len(labels) / (len(count) * count[place])
