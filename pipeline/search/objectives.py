"""What makes one trial better than another: objectives, constraints, and the front of the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.study.objectives import OBJECTIVES

__all__ = ["directions", "front", "score", "values_of", "violations"]


def directions(objectives: Sequence[str]) -> list[str]:
    """Return Optuna's word for the direction of each objective.

    >>> directions(["accuracy", "flops"])
    ['maximize', 'minimize']
    """
    return ["maximize" if OBJECTIVES[name][1] else "minimize" for name in objectives]


def values_of(row: Mapping[str, Any], objectives: Sequence[str]) -> list[float] | None:
    """Return a trial's values in order of the objectives; None for one that must not count."""
    values = [row.get(OBJECTIVES[name][0]) for name in objectives]
    if row["status"] != "completed" or any(v is None or not math.isfinite(v) for v in values):
        return None
    return [float(value) for value in values if value is not None]


def score(row: Mapping[str, Any]) -> float | None:
    """Return the validation accuracy of a completed trial within its bounds, else None."""
    values = values_of(row, ["accuracy"])
    return None if values is None or row.get("feasible") is False else values[0]


def violations(row: Mapping[str, Any], constraints: Mapping[str, float]) -> dict[str, float]:
    """Return by what fraction of its bound each constraint is broken, at most 0 where it holds.

    >>> violations({"params": 300, "flops": 50}, {"params": 200, "flops": 100})
    {'params': 0.5, 'flops': -0.5}
    """
    return {name: row[name] / bound - 1 for name, bound in constraints.items()}


def front(rows: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> list[bool]:
    """Return which trials no other trial is at least as good as in everything, and better in some.

    Trials that did not complete, or break a constraint, are not looked at.
    """
    signs = [1 if OBJECTIVES[name][1] else -1 for name in objectives]
    points: dict[int, tuple[float, ...]] = {}
    for index, row in enumerate(rows):
        values = values_of(row, objectives)
        if values is not None and row.get("feasible") is not False:
            points[index] = tuple(s * v for s, v in zip(signs, values, strict=True))
    best: list[tuple[float, ...]] = []
    # In this order a point can only be beaten by one before it.
    for point in sorted(set(points.values()), reverse=True):
        if not any(all(b >= p for b, p in zip(one, point, strict=True)) for one in best):
            best.append(point)
    return [points.get(index) in best for index in range(len(rows))]
