"""Words for contrasts: better, worse, the same within the margin, or undecided.

A verdict answers for other seeds and for other test images of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis.contrasts import Estimates
from pipeline.report.analysis.statistics import holm
from pipeline.report.text.verdict import WITHIN_MARGIN

Floats = NDArray[np.float64]
Units = NDArray[np.int64]

SAME, UNDECIDED, NOT_COMPARED = f"the same {WITHIN_MARGIN}", "undecided", "not compared"
# So many seeds, or times as many test images, are looked at when a verdict is undecided.
MOST_SEEDS, MOST_TIMES = 100, 100
BETTER = tuple(f"{clear}better{within}" for clear, within in
               (("", f", {WITHIN_MARGIN}"), ("clearly ", ""), ("", "")))  # fmt: skip
WORSE = tuple(word.replace("better", "worse") for word in BETTER)
COLUMNS = ["difference", "low", "high", "p", "p_holm", "comparisons", "better", "worse", "word",
           "seeds_needed", "images_needed"]  # fmt: skip


@dataclass(frozen=True)
class Standard:
    """What decides: the margin, and the confidence of intervals and tests."""

    margin: float = 0.01
    confidence: float = 0.95

    @property
    def alpha(self) -> float:
        """Accepted chance of a false verdict in a family of comparisons."""
        return 1 - self.confidence


def family(estimates: Estimates, standard: Standard, seeds: Units, units: Units) -> pd.DataFrame:
    """Judge a family of contrasts: one data set, one measure and one kind of question.

    Parameters
    ----------
    seeds
        (contrasts,): the most seeds that a cell of the contrast has.
    units
        (contrasts,): test images, or their groups where they come in groups.

    Returns
    -------
    pandas.DataFrame
        The `COLUMNS`, a row per contrast. p-values are adjusted by Holm's method over the family,
        intervals are not. `seeds_needed` and `images_needed` are how many would decide if the
        difference stayed as it is; NaN where it is decided or no such number is known.
    """
    low, high = estimates.interval(standard.confidence)
    adjusted = holm(estimates.p)
    better, worse = estimates.beyond(standard.margin)
    words = _words(estimates, adjusted, standard)
    factor = np.where(estimates.p > 0, adjusted / np.maximum(estimates.p, 1e-300), 1.0)
    undecided = [i for i, word in enumerate(words) if word == UNDECIDED]
    needed, more = np.full(len(words), np.nan), np.full(len(words), np.nan)
    if undecided:
        same = estimates.rows(undecided), standard, factor[undecided]
        needed[undecided] = _needed_seeds(*same, seeds[undecided])
        more[undecided] = _needed_images(*same, units[undecided])
    return pd.DataFrame({
        "difference": estimates.difference, "low": low, "high": high, "p": estimates.p,
        "p_holm": adjusted, "comparisons": int(np.isfinite(adjusted).sum()), "better": better,
        "worse": worse, "word": words, "seeds_needed": needed, "images_needed": more,
    })  # fmt: skip


def _words(estimates: Estimates, adjusted: Floats, standard: Standard) -> list[str]:
    inside = _inside(estimates, standard)
    better, worse = estimates.beyond(standard.margin)
    clear = np.maximum(better, worse) >= 1 - standard.alpha / 2
    words = []
    for i, difference in enumerate(estimates.difference):
        side = "better" if difference > 0 else "worse"
        if not np.isfinite(adjusted[i]):
            words.append(NOT_COMPARED)
        elif adjusted[i] < standard.alpha:
            words.append(
                f"{side}, {WITHIN_MARGIN}" if inside[i] else f"clearly {side}" if clear[i] else side
            )
        else:
            words.append(SAME if inside[i] else UNDECIDED)
    return words


def _inside(estimates: Estimates, standard: Standard) -> NDArray[np.bool_]:
    """Whether two one-sided tests find the difference within the margin."""
    low, high = estimates.interval(1 - 2 * standard.alpha)
    return (low >= -standard.margin) & (high <= standard.margin)


def _decides(estimates: Estimates, standard: Standard, factor: Floats) -> NDArray[np.bool_]:
    return (estimates.p * factor < standard.alpha) | _inside(estimates, standard)


def _needed_seeds(estimates: Estimates, standard: Standard, factor: Floats, seeds: Units) -> Floats:
    n = np.arange(2, MOST_SEEDS + 1)[:, None]
    more = _rescaled(estimates, n / seeds, np.ones(len(factor)))
    enough = _decides(more, standard, factor) & (n > seeds) & estimates.seeds_known
    return np.where(enough.any(axis=0), n[enough.argmax(axis=0), 0], np.nan)


def _needed_images(
    estimates: Estimates, standard: Standard, factor: Floats, units: Units
) -> Floats:
    times = np.geomspace(MOST_TIMES, 1.05, 100)[::-1, None]
    more = _rescaled(estimates, np.ones(len(factor)), times)
    enough = _decides(more, standard, factor)
    needed = np.ceil(times[enough.argmax(axis=0), 0] * units)
    return np.where(enough.any(axis=0), needed, np.nan)


def _rescaled(estimates: Estimates, seeds: Floats, images: Floats) -> Estimates:
    """Return the same differences with so many times the seeds and the test images."""
    return replace(
        estimates,
        seed_part=estimates.seed_part / seeds, seed_df=estimates.seed_df * seeds,
        image_part=estimates.image_part / images, image_df=estimates.image_df * images,
        overlap=estimates.overlap / seeds / images, floor=estimates.floor / images**2,
    )  # fmt: skip
