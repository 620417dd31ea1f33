"""Variance of accuracy over seeds, moderated across the cells of a data set (Smyth 2004).

With a handful of seeds the variance of one cell is known poorly; that of all cells together is
known well. Each cell's estimate is a weighted mean of its own and the common one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

MAX_PRIOR = 4.0  # degrees of freedom; so many are also taken where cells do not differ at all
FEWEST_CELLS = 3  # from so many on cells say how much their variances differ


@dataclass(frozen=True)
class SeedVariance:
    """Variance of one run's accuracy in every cell and its degrees of freedom (0: unknown)."""

    variance: Floats
    df: Floats


def moderated(
    accuracy: Floats, variance: Floats, seeds: NDArray[np.int64], images: int
) -> SeedVariance:
    """Moderate the variances over seeds of all cells.

    Relative to the binomial `p (1 - p)`, variances follow a scaled inverse chi-squared
    distribution with `d0` degrees of freedom around `phi0`. The more a cell's own variance exceeds
    that distribution, the less it is shrunk (after the robust method of Phipson et al. 2016).

    Parameters
    ----------
    accuracy, variance, seeds
        (cells,): mean and sample variance over the seeds of a cell, and their number.
    images
        Test images of a run.
    """
    p = (images * seeds * accuracy + 1) / (images * seeds + 2)
    binomial = p * (1 - p)
    several = seeds >= 2
    phi = np.where(several, variance, 0.0) / binomial
    if not several.any():
        return SeedVariance(np.zeros(len(p)), np.zeros(len(p)))
    floor = 1e-5 * float(np.median(phi[several])) + 1e-12
    phi = np.maximum(phi, floor)
    df = np.maximum(seeds - 1, 0).astype(np.float64)
    phi0, d0 = prior(phi[several], df[several])
    d0_each = d0 * _weight(phi, df, phi0, d0)
    total = d0_each + df
    pooled = (d0_each * phi0 + df * phi) / np.where(total > 0, total, 1.0)
    return SeedVariance(np.where(total > 0, binomial * pooled, 0.0), total)


def prior(phi: Floats, df: Floats) -> tuple[float, float]:
    """Return `phi0` and `d0` by the moments of the logarithms of the variances.

    `phi0` is not below the mean, `d0` is at most `MAX_PRIOR`, and 0 with fewer than three cells.
    """
    mean = float(phi.mean())
    if phi.size < FEWEST_CELLS:
        return mean, 0.0
    logs = np.log(phi) - special.digamma(df / 2) + np.log(df / 2)
    centre = float(logs.mean())
    excess = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    if excess <= 0:
        return max(math.exp(centre), mean), MAX_PRIOR
    d0 = 2 * trigamma_inverse(excess)
    phi0 = math.exp(centre + float(special.digamma(d0 / 2)) - math.log(d0 / 2))
    return max(phi0, mean), min(d0, MAX_PRIOR)


def trigamma_inverse(value: float) -> float:
    """Solve `trigamma(x) = value` by Newton's method on its reciprocal, which is nearly linear."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _weight(phi: Floats, df: Floats, phi0: float, d0: float) -> Floats:
    """Weight of the prior: the chance of a variance as large if the cell were like the others."""
    if d0 == 0:
        return np.zeros(len(phi))
    return np.where(df > 0, special.fdtrc(np.maximum(df, 1), max(d0, 0.5), phi / phi0), 1.0)
