"""Error against the number of training images, as a power law, and gaps between laws in images.

`error = c n^-a` is a straight line of logarithms, fitted by least squares. Intervals are those of a
bootstrap over seeds and test images, the same images for all cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import measures
from pipeline.report.analysis.bootstrap import RESAMPLES, image_weights
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.load import Settings

LINE = ["dataset", "model", "tokens", "depth", "group", "positional", "augment"]
CURVE = [*LINE, "measure", "sizes", "exponent", "exponent_low", "exponent_high", "factor"]
GAP = [
    "dataset", "measure", "level", "reference", "images", "needed", "needed_low", "needed_high",
    "fewest", "most",
]  # fmt: skip
Floats = NDArray[np.float64]


def size_curves(
    sources: Mapping[str, Source],
    cells: pd.DataFrame,
    settings: Settings,
    generator: np.random.Generator,
    measure: measures.Measure = measures.UPRIGHT,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit the law of every kind of cell with several sizes, and the gaps to the baseline's group.

    Returns
    -------
    tuple
        Columns `CURVE`, a row per kind of cell; and `GAP`: with how many images (`needed`) a group
        reaches the error that a kind of the baseline's group (`reference`) has with `images`. What
        lies beyond the sizes of the group is cut to the nearest of them: laws are not extrapolated.
    """
    curves: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for name, source in sources.items():
        here = cells[(cells["dataset"] == name) & (cells["runs_finished"] > 0)]
        laws = _laws(here, source, measure, generator)
        for key, (sizes, law) in laws.items():
            low, high = _ends(-law[:, 0], settings.confidence)
            curves.append({
                **dict(zip(LINE, key, strict=True)), "measure": measure.column,
                "sizes": len(sizes), "exponent": -law[0, 0], "exponent_low": low,
                "exponent_high": high, "factor": float(np.exp(law[0, 1])),
            })  # fmt: skip
        gaps += gaps_between(laws, settings, measure)
    return pd.DataFrame(curves, columns=CURVE), pd.DataFrame(gaps, columns=GAP)


def fit(sizes: Floats, errors: Floats) -> Floats:
    """Return slope and intercept of `log error` over `log n`, a row each row of errors."""
    x = np.log(sizes)
    centred = x - x.mean()
    logs = np.log(errors)
    slope = logs @ centred / (centred @ centred)
    return np.stack([slope, logs.mean(axis=-1) - slope * x.mean()], axis=-1)


def images_for(law: Floats, error: Floats) -> Floats:
    """Return how many images bring an error down to this; infinite where a law does not fall."""
    with np.errstate(divide="ignore", over="ignore"):
        needed = np.exp((np.log(error) - law[:, 1]) / law[:, 0])
    return np.where(law[:, 0] < 0, needed, np.inf)


Laws = dict[tuple[Any, ...], tuple[Floats, Floats]]


def _laws(
    cells: pd.DataFrame, source: Source, measure: measures.Measure, generator: np.random.Generator
) -> Laws:
    """Sizes and laws by kind of cell: the first row is the fit, the others are resamples."""
    runs = source.finished.dropna(subset=["train_images"])
    sizes = runs.groupby("id")["train_images"].first()
    rows = cells[cells["id"].isin(sizes.index)].assign(n=cells["id"].map(sizes))
    measured = [source.has(Row(int(number), measure.column)) for number in rows["id"]]
    rows = rows[np.array(measured, dtype=np.bool_)]
    several = {key: part for key, part in rows.groupby(LINE, sort=False) if part["n"].nunique() > 1}
    known = source.predictions.images
    weights = None
    if several and known is not None:
        weights = image_weights(len(known.labels), known.groups, generator)
    laws: Laws = {}
    for key, part in several.items():
        part = part.sort_values("n")
        errors = np.stack([
            _errors(source, Row(int(number), measure.column), weights, generator)
            for number in part["id"]
        ], axis=1)  # fmt: skip
        n = part["n"].to_numpy(dtype=np.float64)
        laws[tuple(key)] = n, fit(n, errors)
    return laws


def _errors(
    source: Source, row: Row, weights: NDArray[np.float32] | None, generator: np.random.Generator
) -> Floats:
    """Error of a cell, then of each resample of its seeds and images; none below half an image."""
    scores = source.scores(row)
    seeds, m = len(scores.runs), max(scores.images, 1)
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    if weights is not None and len(scores.kept) == seeds:
        w = weights[:, :m]
        runs = (w @ scores.kept.T) / w.sum(axis=1, keepdims=True)
        means = (drawn * runs).sum(axis=1) / seeds
    else:
        means = drawn @ scores.runs / seeds
        p = (m * scores.runs.mean() + 1) / (m + 2)
        means = means + np.sqrt(p * (1 - p) / m) * generator.standard_normal(RESAMPLES)
    return np.maximum(1 - np.concatenate([[scores.runs.mean()], means]), 0.5 / m)


def gaps_between(laws: Laws, settings: Settings, measure: measures.Measure) -> list[dict[str, Any]]:
    """Rows of the gaps of every kind to those of the baseline's group."""
    own, place = str(settings.baseline.get("group", "C1")), LINE.index("group")
    rows = []
    for key, (sizes, law) in laws.items():
        for other, (own_sizes, rival) in laws.items():
            alike = [a == b for a, b in zip(key[:place], other[:place], strict=True)]
            same = all(alike) and key[place + 1] == other[place + 1]
            if key[place] == own or other[place] != own or not same:
                continue
            for n in own_sizes:
                error = np.exp(rival[:, 0] * np.log(n) + rival[:, 1])
                needed = np.clip(images_for(law, error), sizes.min(), sizes.max())
                low, high = _ends(needed, settings.confidence)
                rows.append({
                    "dataset": key[0], "measure": measure.column, "level": _kind(key),
                    "reference": _kind(other), "images": int(n), "needed": needed[0],
                    "needed_low": low, "needed_high": high,
                    "fewest": int(sizes.min()), "most": int(sizes.max()),
                })  # fmt: skip
    return rows


def _kind(key: tuple[Any, ...]) -> str:
    """Name a kind of cell by group and augmentation: `C1 turn`."""
    group, augment = key[LINE.index("group")], key[LINE.index("augment")]
    return str(group) if augment == "none" else f"{group} {augment}"


def _ends(values: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval of resamples; the first value is the estimate."""
    ordered = np.sort(values[1:])
    last = len(ordered) - 1
    tail = (1 - confidence) / 2
    return float(ordered[int(tail * last)]), float(ordered[int(np.ceil((1 - tail) * last))])
