"""Designs that need no results: the points of a cell are known before its first trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["at", "grid_point", "levels", "sobol_point"]

# Shuffles a grid: the golden ratio spreads the first few points over all of it.
STRIDE = (math.sqrt(5) - 1) / 2


def sobol_point(space: Mapping[str, BaseDistribution], seed: int, number: int) -> dict[str, Any]:
    """Return point `number` of a scrambled Sobol sequence over the space."""
    from scipy.stats.qmc import Sobol  # a second to import, of every process

    sequence = Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
    if number:
        sequence.fast_forward(number)
    point = sequence.random(1)[0]
    return {name: at(space[name], float(u)) for name, u in zip(space, point, strict=True)}


def grid_point(space: Mapping[str, BaseDistribution], seed: int, number: int) -> dict[str, Any]:
    """Return point `number` of the grid, in an order that the seed shifts.

    The first points are spread over the grid, so that a budget smaller than the grid is not
    spent in one corner. Every point is used once before any is repeated.
    """
    steps = {name: levels(one) for name, one in space.items()}
    size = math.prod(len(values) for values in steps.values())
    stride = max(1, round(size * STRIDE))
    while math.gcd(stride, size) > 1:
        stride += 1
    index = (seed + number * stride) % size
    point = {}
    for name, values in steps.items():
        index, place = divmod(index, len(values))
        point[name] = values[place]
    return point


def levels(one: BaseDistribution) -> list[Any]:
    """List the values of a distribution that has finitely many.

    Raises
    ------
    ValueError
        It is a continuous interval.

    Examples
    --------
    >>> levels(IntDistribution(2, 8, step=3)), levels(FloatDistribution(0, 0.3, step=0.1))
    ([2, 5, 8], [0.0, 0.1, 0.2, 0.3])
    """
    if isinstance(one, CategoricalDistribution):
        return list(one.choices)
    if isinstance(one, IntDistribution):
        return list(range(one.low, one.high + 1, one.step))
    if isinstance(one, FloatDistribution) and one.step is not None:
        count = round((one.high - one.low) / one.step) + 1
        return [float(f"{one.low + place * one.step:.12g}") for place in range(count)]
    raise ValueError(f"{one} has no grid: give it choices or a step")


def at(one: BaseDistribution, u: float) -> Any:
    """Return the value at quantile `u`, 0 <= u < 1, of a distribution.

    Examples
    --------
    >>> at(FloatDistribution(1, 4), 0.5), at(CategoricalDistribution([1, 2]), 0.7)
    (2.5, 2)
    """
    if isinstance(one, FloatDistribution) and one.step is None:
        if not one.log:
            return one.low + u * (one.high - one.low)
        low, high = math.log(one.low), math.log(one.high)
        return float(np.clip(math.exp(low + u * (high - low)), one.low, one.high))
    if isinstance(one, IntDistribution) and one.log:
        # Each whole number has the piece of the logarithm from half below to half above it.
        low, high = math.log(one.low - 0.5), math.log(one.high + 0.5)
        return int(np.clip(round(math.exp(low + u * (high - low))), one.low, one.high))
    values = levels(one)
    return values[int(u * len(values))]
