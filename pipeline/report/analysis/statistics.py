"""Intervals, tests and Pareto fronts: pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats


@dataclass(frozen=True)
class Interval:
    """A centre with an interval, how it was made and from how many values.

    `low` and `high` are NaN where no interval exists (fewer than two values).
    """

    centre: float
    low: float
    high: float
    n: int
    method: str

    @property
    def half_width(self) -> float:
        """Half of the interval's width, NaN without an interval."""
        return (self.high - self.low) / 2


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """Return the finite values, flat, as float64."""
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def mean_interval(
    values: ArrayLike,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    shared: float = 0.0,
) -> Interval:
    """Mean with its two-sided Student t interval, cut off at `bounds`.

    Values of splits that share training images have `shared`, test images over training images:
    the variance of their mean is `(1 / n + shared) S^2` (Nadeau and Bengio 2003).

    With a handful of seeds a bootstrap of the mean is far too narrow (three values have only ten
    distinct resamples); Student's t pays for not knowing the variance.
    """
    sample = finite(values)
    if sample.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, "no value")
    centre = float(sample.mean())
    if sample.size == 1:
        return Interval(centre, math.nan, math.nan, 1, "one value: no interval")
    spread = sample.std(ddof=1) * math.sqrt(1 + sample.size * shared)
    half = float(t_half_width(spread, sample.size, confidence))
    low, high = max(bounds[0], centre - half), min(bounds[1], centre + half)
    return Interval(centre, low, high, sample.size, "Student t")


def log_interval(values: ArrayLike, confidence: float = 0.95, shared: float = 0.0) -> Interval:
    """Geometric mean with a Student t interval on the log scale, for errors over many decades.

    `shared` is as in `mean_interval`.

    A zero has no logarithm: with exact zeros among the values the centre is the median and the
    interval is the range from smallest to largest, which is what can be said honestly.
    """
    sample = finite(values)
    if sample.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, "no value")
    if sample.size == 1:
        return Interval(float(sample[0]), math.nan, math.nan, 1, "one value: no interval")
    if np.any(sample <= 0):
        centre = float(np.median(sample))
        return Interval(centre, float(sample.min()), float(sample.max()), sample.size, "range")
    logs = np.log(sample)
    middle = float(logs.mean())
    spread = logs.std(ddof=1) * math.sqrt(1 + logs.size * shared)
    half = float(t_half_width(spread, logs.size, confidence))
    ends = math.exp(middle - half), math.exp(middle + half)
    return Interval(math.exp(middle), *ends, sample.size, "Student t of the logarithm")


def t_half_width(deviation: Any, n: Any, confidence: float) -> Any:
    """Half width of the Student t interval of a mean of `n` values with a standard deviation."""
    return special.stdtrit(n - 1, (1 + confidence) / 2) * deviation / np.sqrt(n)


def interquartile_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Mean of the middle half along the last axis; a quarter (rounded down) is cut at either end.

    Unlike a mean it is not dominated by one hard data set, unlike a median it uses half of the
    runs (Agarwal et al. 2021).
    """
    return stats.trim_mean(np.asarray(values, dtype=np.float64), 0.25, axis=-1)


def bootstrap_interval(
    strata: Sequence[ArrayLike],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile interval of a statistic, resampling inside each stratum (a data set).

    `statistic` reduces the last axis of its argument.
    """
    samples = [finite(stratum) for stratum in strata]
    samples = [sample for sample in samples if sample.size]
    if not samples:
        return Interval(math.nan, math.nan, math.nan, 0, "no value")
    pooled = np.concatenate(samples)
    centre = float(statistic(pooled))
    if all(sample.size == 1 for sample in samples):
        return Interval(centre, math.nan, math.nan, pooled.size, "one value: no interval")
    draws = [generator.choice(s, (resamples, s.size), replace=True) for s in samples]
    ends = _percentiles(statistic(np.concatenate(draws, axis=-1)), confidence)
    return Interval(centre, *ends, pooled.size, "stratified bootstrap")


def _percentiles(draws: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment; NaN stays NaN and does not count as a comparison."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (known.size - rank) * p[index]))
        adjusted[index] = running
    return adjusted


def pareto_front(gain: ArrayLike, price: ArrayLike, floor: float = 0.0) -> NDArray[np.bool_]:
    """Mark the points that no other point beats: higher `gain`, lower `price`.

    Prices below `floor` count as equal, so that rounding decides nothing.
    """
    gains = np.asarray(gain, dtype=np.float64)
    prices = np.maximum(np.asarray(price, dtype=np.float64), floor)
    usable = np.isfinite(gains) & np.isfinite(prices)
    at_least = (gains[:, None] >= gains[None, :]) & (prices[:, None] <= prices[None, :])
    better = (gains[:, None] > gains[None, :]) | (prices[:, None] < prices[None, :])
    beaten = np.any(at_least & better & usable[:, None], axis=0)
    return usable & ~beaten
