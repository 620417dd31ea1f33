"""Results of two versions side by side: means with intervals, differences and a verdict each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.common.errors import UserError
from pipeline.report.analysis.comparisons import verdict
from pipeline.report.analysis.measures import ANY_ANGLE, QUARTER, SHORT, UPRIGHT
from pipeline.report.analysis.statistics import Interval, finite, holm, mean_interval, sign_flip_p
from pipeline.report.text.formatting import percent_interval
from pipeline.results import records, schemas
from pipeline.results.provenance import ENVIRONMENT
from pipeline.tools.support.history import Version, Workspace

__all__ = ["Results", "results_differences"]

CONFIDENCE, SEED = 0.95, 20_240_601
MEASURES = (UPRIGHT.column, QUARTER.column, ANY_ANGLE.column)
# Time and memory differ between any two runs; a path is no result.
NOT_A_RESULT = ["seconds", "peak_memory_bytes", "device", "weights"]


@dataclass(frozen=True)
class Results:
    """The runs of a version and where they came from; `reason` says why there are none."""

    name: str
    runs: pd.DataFrame
    provenance: Mapping[str, Any]
    reason: str = ""

    @classmethod
    def of(cls, version: Version | Workspace) -> Results:
        """Read the confirmed runs of a version."""
        try:
            files = version.outputs("data/confirm")
            found = [path for name, path in sorted(files.items()) if name.endswith("/runs.parquet")]
            frames = [records.read(path, schemas.RUNS) for path in found]
            origin = records.read_provenance(found[0]) if found else {}
        except UserError as error:
            reason = str(error).replace(str(Path.cwd()) + "/", "")
            return cls(version.name, pd.DataFrame(), {}, reason)
        if not frames:
            return cls(version.name, pd.DataFrame(), {}, f"{version.name}: holds no confirmed run")
        return cls(version.name, pd.concat(frames, ignore_index=True), origin)

    def environment_differences(self, other: Results) -> list[str]:
        """Return the packages and machines that differ."""
        return [
            f"{key}: {self.provenance.get(key)} -> {other.provenance.get(key)}"
            for key in ENVIRONMENT
            if self.provenance and other.provenance
            and self.provenance.get(key) != other.provenance.get(key)
        ]  # fmt: skip


def results_differences(before: Results, after: Results, same_data: bool) -> tuple[list[str], str]:
    """Return a line for every cell and measure that differs, and what to conclude.

    Runs of equal seeds on equal data are paired (exact sign-flip test); others are compared by
    Welch's interval. Holm's method corrects over all lines.
    """
    for results in (before, after):
        if results.reason:
            return [f"cannot be compared: {results.reason}"], "results not compared"
    if _rows(before).equals(_rows(after)):
        return [], "no result changed: all rows are equal to the last digit"
    lines, rows = [], []
    generator = np.random.default_rng(SEED)
    one, two = ({key: part for key, part in results.runs.groupby(["dataset", "cell"])}
                for results in (before, after))  # fmt: skip
    for key in sorted({*one, *two}):
        name = " ".join(key)
        if key not in one or key not in two:
            lines.append(f"{name}: only in {(before if key in one else after).name}")
            continue
        for measure in MEASURES:
            row = _compared(one[key], two[key], measure, same_data, generator)
            if row is not None:
                rows.append({"name": f"{name}, {SHORT[measure]}", **row})
    adjusted = holm([row["p"] for row in rows])
    significant = 0
    for row, p in zip(rows, adjusted, strict=True):
        significant += bool(p < 1 - CONFIDENCE)
        text = verdict(row["interval"], float(p), 1 - CONFIDENCE, len(rows))
        lines.append(f"{row['name']}: {row['before']} -> {row['after']}; {text}{row['how']}")
    if not rows:
        return lines, "no accuracy changed in the cells that both have"
    doubt = "" if significant else ": with these seeds the change does not show"
    found = f"{significant} of {len(rows)} changed mean accuracies differ significantly"
    return lines, found + doubt


def _rows(results: Results) -> pd.DataFrame:
    rows = results.runs.drop(columns=NOT_A_RESULT)
    return rows.sort_values(["dataset", "cell", "seed"]).reset_index(drop=True)


def _compared(
    one: pd.DataFrame,
    two: pd.DataFrame,
    measure: str,
    same_data: bool,
    generator: np.random.Generator,
) -> dict[str, Any] | None:
    """Compare a measure of one cell; None where both versions have the same values."""
    first, second = (part.set_index("seed")[measure].dropna() for part in (one, two))
    if first.equals(second):
        return None
    before, after = (
        percent_interval(mean_interval(values, CONFIDENCE, bounds=(0.0, 1.0)))
        for values in (first, second)
    )
    row = {"before": before, "after": after, "how": ""}
    shared = (second - first).dropna().to_numpy(dtype=np.float64)
    if same_data and shared.size > 1:
        interval = mean_interval(shared, CONFIDENCE, bounds=(-1.0, 1.0))
        return {**row, "interval": interval, "p": sign_flip_p(shared, generator)}
    interval, p = welch(first.to_numpy(), second.to_numpy(), CONFIDENCE)
    return {**row, "interval": interval, "p": p, "how": " [not paired: other data or seeds]"}


def welch(first: np.ndarray, second: np.ndarray, confidence: float) -> tuple[Interval, float]:
    """Difference of the means of independent runs with Welch's interval and p-value."""
    a, b = finite(first), finite(second)
    n = min(a.size, b.size)
    centre = float(b.mean() - a.mean()) if n else math.nan
    if n < 2 or a.std() + b.std() == 0:
        return Interval(centre, math.nan, math.nan, min(n, 1), "no interval"), math.nan
    found = stats.ttest_ind(b, a, equal_var=False)
    ends = found.confidence_interval(confidence)
    return Interval(centre, float(ends.low), float(ends.high), n, "Welch"), float(found.pvalue)
