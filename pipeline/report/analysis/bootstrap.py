"""Bootstrap intervals over seeds and test images, of measures that are no mean of scores.

F1, the area under the ROC curve and the negative log-likelihood get an interval and no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import measures
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.predictions import Predictions

RESAMPLES = 400
Floats = NDArray[np.float64]
# Of a run and resampled weights of the images: the measure under each resample.
Statistic = Callable[[NDArray, NDArray[np.int64], NDArray[np.float32]], Floats]


def with_bootstrap(
    cells: pd.DataFrame,
    sources: Mapping[str, Source],
    confidence: float,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Give the measures of `STATISTICS` intervals over seeds and test images (or their groups).

    Cells whose predictions were not kept retain intervals over seeds, those of several splits
    over splits.
    """
    cells = cells.copy()
    for name, source in sources.items():
        known = source.predictions.images
        if known is None or source.splits > 1:
            continue
        weights = image_weights(len(known.labels), known.groups, generator)
        ids = cells[cells["dataset"] == name].set_index("cell")["id"]
        for column, (stored, statistic) in STATISTICS.items():
            if column not in cells:
                continue
            for cell, draws in _draws(source.predictions, stored, statistic, weights):
                row = cells.index[cells["id"] == ids.get(cell, -1)]
                if len(row) and source.has(Row(int(ids[cell]), column)):
                    seeds = generator.multinomial(
                        len(draws), np.full(len(draws), 1 / len(draws)), RESAMPLES
                    )
                    means = np.sum(draws.T * seeds, axis=1) / len(draws)
                    ends = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
                    cells.loc[row, [f"{column}_low", f"{column}_high"]] = ends
    return cells


def image_weights(
    images: int, groups: NDArray[np.str_] | None, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return how often every image is in each resample: (resamples, images).

    Groups of images are drawn whole.
    """
    codes = np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(codes.max()) + 1
    drawn = generator.multinomial(units, np.full(units, 1 / units), RESAMPLES)
    return drawn[:, codes].astype(np.float32)


def _draws(
    predictions: Predictions, stored: str, statistic: Statistic, weights: NDArray[np.float32]
) -> Iterator[tuple[str, Floats]]:
    """Yield every cell with the resampled measure of its runs: (runs, resamples)."""
    labels = predictions.images.labels if predictions.images else np.zeros(0, dtype=np.int64)
    found: dict[str, list[Floats]] = {}
    for cell, _, values in predictions.rows(stored, "upright"):
        m = min(len(labels), len(values))
        if stored == "logits":
            m, values = len(labels), values.reshape(len(labels), -1)
        found.setdefault(cell, []).append(statistic(values[:m], labels[:m], weights[:, :m]))
    for cell, draws in found.items():
        yield cell, np.array(draws)


def macro_f1(predicted: NDArray, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> Floats:
    """Mean over the classes of the labels of `2 tp / (predicted + true)`, for every resample."""
    scores = []
    for label in np.unique(labels):
        chosen, true = predicted == label, labels == label
        counts = weights @ np.stack([chosen & true, chosen, true], axis=1).astype(np.float32)
        scores.append(2 * counts[:, 0] / np.maximum(counts[:, 1] + counts[:, 2], 1e-9))
    return np.mean(scores, axis=0, dtype=np.float64)


def negative_log_likelihood(
    chances: NDArray, labels: NDArray[np.int64], weights: NDArray[np.float32]
) -> Floats:
    """Weighted mean of minus the logarithm of the probability of the label."""
    # Half precision has no probability below 6e-8 but zero.
    losses = -np.log(np.maximum(chances.astype(np.float64), 2.0**-25))
    return _mean(losses, weights)


def auroc(logits: NDArray, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> Floats:
    """Macro area under the ROC curve, one class against the rest, to first order in the weights.

    The area is a mean over pairs of images; each image's part of it (DeLong et al. 1988) makes it a
    weighted mean over images, exact for equal weights.
    """
    shares = np.exp(logits - logits.max(axis=1, keepdims=True).astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    parts = [
        _auroc_parts(shares[:, label], labels == label)
        for label in np.unique(labels)
        if label < shares.shape[1] and not np.all(labels == label)
    ]
    return _mean(np.mean(parts, axis=0), weights) if parts else np.full(len(weights), np.nan)


def _auroc_parts(score: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Area plus the influence of every image; the mean is the area. Ties count half."""
    ends = [np.sort(score[positive]), np.sort(score[~positive])]
    below, above = ends[1], ends[0]
    of_positive = _share_below(below, score[positive])
    of_negative = 1 - _share_below(above, score[~positive])
    area, share = of_positive.mean(), positive.mean()
    parts = np.empty(len(score))
    parts[positive] = area + (of_positive - area) / share
    parts[~positive] = area + (of_negative - area) / (1 - share)
    return parts


def _share_below(values: Floats, scores: Floats) -> Floats:
    places = np.searchsorted(values, scores, "left") + np.searchsorted(values, scores, "right")
    return places / 2 / len(values)


def _mean(values: Floats, weights: NDArray[np.float32]) -> Floats:
    return (weights @ values) / weights.sum(axis=1)


STATISTICS: dict[str, tuple[str, Statistic]] = {
    measures.MACRO_F1.column: ("prediction", macro_f1),
    measures.AUROC.column: ("logits", auroc),
    measures.LIKELIHOOD.column: ("label_probability", negative_log_likelihood),
}
