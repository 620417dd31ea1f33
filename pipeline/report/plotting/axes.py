"""Axes: exact zeros on a log axis, percentages, percentage points, whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from pipeline.report.plotting.style import MUTED, ZONE
from pipeline.report.text.formatting import MINUS, amount, power_of_ten, small
from pipeline.report.text.names import ROUNDING

LETTER = 0.05  # of the width of a narrow panel: a letter of a tick's label, with room around it


class ErrorScale:
    """A log scale for errors with a separate place for exact zeros.

    A log axis has no place for zero, and leaving it out or drawing it at 1e-16 would be wrong. Here
    zeros are drawn one and a half decades left of everything else at a tick that says `0`.
    """

    def __init__(self, values: Iterable[float], whole: bool = True) -> None:
        array = np.asarray(list(values), dtype=float)
        array = array[np.isfinite(array)]
        positive = array[array > 0]
        self.has_zero = bool((array <= 0).any())
        low, high = (positive.min(), positive.max()) if positive.size else (1e-7, 1.0)
        # The whole range from rounding to 1 is shown unless a close view is asked for.
        low, high = (min(low, 1e-7), max(high, 1.0)) if whole else (low, high)
        self.start, self.end = low / 2.5, high * 2.5
        self.zero_at = 10.0 ** (math.floor(math.log10(low)) - 1)
        if self.has_zero:
            self.start = self.zero_at / 3

    def place(self, values: object) -> np.ndarray:
        """Return where to draw each value."""
        array = np.asarray(values, dtype=float)
        return np.where(array <= 0, self.zero_at, array)

    def apply(self, axes: Axes, axis: str, shade: bool = True) -> None:
        """Set scale, limits, ticks and the shaded zone of rounding on one axis."""
        which: Axis = axes.xaxis if axis == "x" else axes.yaxis
        (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
        (axes.set_xlim if axis == "x" else axes.set_ylim)(self.start, self.end)
        first = self.zero_at * 10 if self.has_zero else self.start
        ticks, labels = _error_ticks(first, self.end)
        if self.has_zero:
            ticks, labels = [self.zero_at, *ticks], {self.zero_at: "0", **labels}
        which.set_major_locator(FixedLocator(ticks))
        which.set_major_formatter(FuncFormatter(lambda v, _: _label(v, labels)))
        which.set_minor_formatter(NullFormatter())
        which.set_minor_locator(FixedLocator([]))
        span = axes.axvspan if axis == "x" else axes.axhspan
        rule = axes.axvline if axis == "x" else axes.axhline
        if shade:
            span(self.start, min(ROUNDING, self.end), color=ZONE, linewidth=0, zorder=0)
        if self.has_zero:
            rule(self.zero_at * math.sqrt(10), color=MUTED, linewidth=0.6, linestyle=(0, (2, 2)))


def _error_ticks(low: float, high: float) -> tuple[list[float], dict[float, str]]:
    """Whole decades where there are several, else a few round numbers."""
    decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    if len(decades) < 3:
        ticks = round_ticks(low, high, most=4)
        return ticks, {tick: small(tick) for tick in ticks}
    step = max(1, (len(decades) + 4) // 6)
    ticks = [10.0**decade for decade in decades if decade % step == 0]
    return ticks, {tick: power_of_ten(tick) for tick in ticks}


def _label(value: float, labels: dict[float, str]) -> str:
    return next((text for tick, text in labels.items() if math.isclose(tick, value)), "")


def percent_axis(axis: Axis) -> None:
    """Label fractions as percentages."""
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))


def points_axis(axes: Axes) -> None:
    """Label differences of fractions as percentage points, with a line at no difference."""
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_points))
    axes.set_xlabel("Points")


def _points(value: float, _: object) -> str:
    return f"{100 * value:+g}".replace("-", MINUS) if abs(value) > 1e-9 else "0"


def fit_percent(axes: Axes, low: float, high: float) -> None:
    """Fit the y axis to fractions, with room for whole marks; ticks stay between 0 and 100 %."""
    margin = 0.07 * max(high - low, 0.01)
    low, high = low - margin, high + margin
    axes.set_ylim(low, high)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [tick for tick in ticks if max(low, -1e-9) <= tick <= min(high, 1 + 1e-9)]
    axes.yaxis.set_major_locator(FixedLocator(inside))
    percent_axis(axes.yaxis)


def whole_axis(axis: Axis) -> None:
    """Use whole numbers only (epochs, trials, layers)."""
    axis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))


def amount_axis(axes: Axes, values: np.ndarray) -> None:
    """Use a log x axis for amounts, with a few round ticks even when they span little."""
    low, high = float(values.min()), float(values.max())
    axes.set_xscale("log")
    low, high = low / 1.25, high * 1.25
    axes.set_xlim(low, high)
    ticks = with_room(round_ticks(low, high), low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))


def with_room(ticks: list[float], low: float, high: float) -> list[float]:
    """Leave out ticks of a narrow log axis whose labels would touch that of the tick before.

    >>> with_room([30e9, 50e9, 100e9, 200e9, 300e9], 24e9, 310e9)
    [30000000000.0, 50000000000.0, 100000000000.0, 200000000000.0]
    """
    kept = ticks[:1]
    for tick in ticks[1:]:
        share = math.log(tick / kept[-1]) / math.log(high / low)
        letters = (len(amount(tick)) + len(amount(kept[-1]))) / 2
        if share >= LETTER * letters:
            kept.append(tick)
    return kept


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` round numbers between two positive numbers, even on a log scale."""
    for steps in ((1, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            step * 10.0**decade
            for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for step in steps
            if low <= step * 10.0**decade <= high
        ]
        if len(ticks) <= most:
            return ticks
    return ticks[:: -(-len(ticks) // most)]
