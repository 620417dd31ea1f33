"""Deep ensembles: the mean of the probabilities of a cell's confirmed seeds, from their logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import measures
from pipeline.report.analysis.contrasts import Sample, estimate
from pipeline.report.analysis.samples import CONDITIONS, Source
from pipeline.report.predictions import Predictions

COLUMNS = ["id", "label", "dataset", "measure", "networks", "accuracy", "low", "high", "single"]
ABSENT = "logits were not kept (`confirm.keep: logits`), or no cell has two finished seeds"
MEASURED = (measures.UPRIGHT, measures.QUARTER, measures.ANY_ANGLE)


def ensembles(
    cells: pd.DataFrame, sources: Mapping[str, Source], confidence: float
) -> pd.DataFrame:
    """Return the accuracy of the ensemble of every cell with kept logits, a row per measure.

    Intervals are over test images (or their groups): the ensemble is one network. `single` is the
    mean accuracy of its networks. Of several splits, the prepared one is looked at.
    """
    rows = []
    for name, source in sources.items():
        here = cells[cells["dataset"] == name].set_index("cell")
        for measure in MEASURED:
            for cell, (right, networks) in _right(source.predictions, measure.column).items():
                if networks < 2 or cell not in here.index:
                    continue
                row = here.loc[cell]
                rows.append({
                    "id": row["id"], "label": row["label"], "dataset": name,
                    "measure": measure.column, "networks": networks,
                    **_interval(right, source.predictions, confidence),
                    "single": _single(source, int(row["id"]), measure.column, row),
                })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["measure", "id"], kind="stable")


def _single(source: Source, cell: int, column: str, row: pd.Series) -> float:
    if source.splits == 1:
        return float(row[column])
    runs = source.finished
    return float(runs.loc[(runs["id"] == cell) & (runs["split"] == 0), column].mean())


def _right(predictions: Predictions, column: str) -> dict[str, tuple[NDArray[np.float32], int]]:
    """Score of every image by the ensemble of each cell, and the number of its networks."""
    found: dict[str, tuple[NDArray[np.float32], int]] = {}
    conditions = CONDITIONS[column]
    for condition in conditions:
        for cell, right, networks in _of_condition(predictions, condition):
            before, _ = found.get(cell, (np.zeros(len(right), dtype=np.float32), 0))
            score = (before + right / len(conditions)).astype(np.float32)
            found[cell] = score, networks
    return found


def _of_condition(
    predictions: Predictions, condition: str
) -> Iterator[tuple[str, NDArray[np.bool_], int]]:
    sums: dict[str, tuple[NDArray[np.float32], int]] = {}
    labels = predictions.images.labels if predictions.images else np.zeros(0, dtype=np.int64)
    for cell, _, logits in predictions.rows("logits", condition):
        scores = logits.reshape(len(labels), -1).astype(np.float32)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        before, networks = sums.get(cell, (0.0, 0))
        sums[cell] = shares + before, networks + 1
    for cell, (total, networks) in sums.items():
        yield cell, total.argmax(axis=1) == labels, networks


def _interval(
    right: NDArray[np.float32], predictions: Predictions, confidence: float
) -> dict[str, float]:
    known = predictions.images
    groups = None if known is None or known.groups is None else known.groups
    codes = None if groups is None else np.unique(groups, return_inverse=True)[1]
    one = np.ones(1)
    accuracy = right.mean(dtype=np.float64) * one
    sample = Sample(accuracy, 0 * one, one.astype(np.int64), len(right), right[None], codes)
    found = estimate(sample, [[1.0]])
    low, high = found.interval(confidence)
    return {"accuracy": accuracy[0], "low": max(0.0, low[0]), "high": min(1.0, high[0])}
