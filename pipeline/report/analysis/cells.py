"""One row per cell: means with intervals over seeds, statuses, what theory expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.statistics import Interval, log_interval, mean_interval
from pipeline.report.load import Study
from pipeline.report.text.names import (
    ALL_IMAGES,
    AXES,
    KEYS,
    ROUNDING,
    augment_order,
    axis_name,
    encoding_order,
    group_order,
    images_order,
    is_exact,
)

SIZES = ["test_images", "train_images"]
# Exact networks that choose an orientation promise nothing where two are within rounding.
UNTIED = {
    column: f"{column}_untied" for column in (measures.ERROR.column, measures.ERROR_MIRROR.column)
}
# Choices that go without saying in a label.
UNSAID = {"augment": "none", "training_images": ALL_IMAGES}
# Axes in the order in which labels name them.
LABELLED = (
    "group", "positional", "augment", "training_images", "depth", "tokens", "model", "dataset",
)  # fmt: skip


def summarise(study: Study) -> pd.DataFrame:
    """Return one row for every cell that was tried, in the order figures and tables use.

    Each measure `m` gives the columns `m`, `m_low`, `m_high` and `m_n`; runs that did not
    complete, and values that are not finite, are in no mean but are counted.
    """
    keys = KEYS[1:]
    known = pd.concat([study.runs[keys], study.trials[keys]]).drop_duplicates(["dataset", "cell"])
    rows = []
    for _, key in known.iterrows():
        runs = _of_cell(study.runs, key)
        trials = _of_cell(study.trials, key)
        rows.append({**key.to_dict(), **_counts(runs, trials), **_measures(study, runs)})
    cells = pd.DataFrame(rows)
    cells["exact"] = _expected(cells, "quarter_turn")
    cells["exact_mirror"] = _expected(cells, "mirror")
    cells["broken"] = cells["exact"] & (cells[measures.ERROR.column + "_max"] > ROUNDING)
    cells["baseline"] = _is_baseline(cells, study)
    cells = cells.iloc[sorted(range(len(cells)), key=lambda i: _order(cells.iloc[i]))]
    cells = cells.reset_index(drop=True)
    cells.insert(0, "id", np.arange(len(cells)))
    cells.insert(1, "label", short_labels(cells))
    return cells


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that completed."""
    return runs[runs["status"] == "completed"]


def with_ids(frame: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Attach the id and label of each row's cell; rows of unknown cells are left out."""
    columns = ["dataset", "cell", "id", "label"]
    return frame.merge(cells[columns], on=["dataset", "cell"], how="inner")


def short_labels(cells: pd.DataFrame) -> list[str]:
    """Name each cell by the axes that vary in this study: `C4 relative d2`."""
    varying = [axis for axis in AXES if cells[axis].nunique() > 1 or axis == "group"]
    if "positional" not in varying and "none" not in set(cells["positional"]):
        varying.append("positional")
    order = [axis for axis in LABELLED if axis in varying]
    return [label(row, order) for _, row in cells.iterrows()]


def label(cell: Mapping[str, Any] | pd.Series, axes: Sequence[str]) -> str:
    """Name a cell by some axes; that it has no augmentation or all images goes without saying."""
    return " ".join(
        axis_name(axis, cell[axis]) for axis in axes if str(cell[axis]) != UNSAID.get(axis)
    )


def _of_cell(frame: pd.DataFrame, key: pd.Series) -> pd.DataFrame:
    return frame[(frame["dataset"] == key["dataset"]) & (frame["cell"] == key["cell"])]


def _counts(runs: pd.DataFrame, trials: pd.DataFrame) -> dict[str, object]:
    done = finished(runs)
    return {
        "runs": len(runs),
        "runs_finished": len(done),
        **({"tied_images": tied} if (tied := int(done["tied_images"].sum())) else {}),
        **({"splits": splits} if (splits := done["split"].nunique()) > 1 else {}),
        "seeds": " ".join(str(seed) for seed in sorted(done["seed"].dropna().astype(int))),
        "trials": len(trials),
        "trials_finished": len(finished(trials)),
    }


def _without_ties(runs: pd.DataFrame, column: str) -> np.ndarray:
    """Return an error of each run, of images without a tie where there are ties."""
    values = runs[column].astype(np.float64)
    if column in UNTIED:
        values = runs[UNTIED[column]].astype(np.float64).fillna(values)
        values = values.where((runs["tied_images"] != runs["test_images"]).fillna(True))
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _measures(study: Study, runs: pd.DataFrame) -> dict[str, float]:
    columns = [measure.column for measure in measures.ALL]
    columns += ["split", *SIZES, "tied_images", *UNTIED.values()]
    done, row = finished(runs).reindex(columns=columns), {}
    confidence, shared = study.settings.confidence, _shared(done)
    for measure in measures.ALL:
        if measure.column not in done:
            continue
        values = done[measure.column].to_numpy(dtype=np.float64, na_value=np.nan)
        units = values
        if shared is not None:  # the split is the unit of chance
            means = done[measure.column].astype(np.float64).groupby(done["split"]).mean()
            units = means.to_numpy()
        if measure.kind == "fraction":
            # Over seeds alone: `samples.with_intervals` replaces that of an accuracy by one over
            # seeds and test images, but for balanced accuracy where their labels are not known.
            interval = mean_interval(units, confidence, (0.0, 1.0), shared or 0)
        elif measure.kind == "loss":
            interval = mean_interval(units, confidence, (0.0, np.inf), shared or 0)
        elif measure.kind == "error":
            interval = log_interval(units, confidence, shared or 0)
            usable = _without_ties(done, measure.column)
            usable = usable[np.isfinite(usable)]
            row[measure.column + "_max"] = usable.max() if usable.size else np.nan
        else:
            interval = _median_and_range(values)
        row |= {
            measure.column: interval.centre,
            measure.column + "_low": interval.low,
            measure.column + "_high": interval.high,
            measure.column + "_n": interval.n,
        }
    return row


def _shared(done: pd.DataFrame) -> float | None:
    """Return test over training images where runs are of several splits, else None."""
    if done["split"].nunique() < 2:
        return None
    return float((done["test_images"] / done["train_images"]).astype(np.float64).mean())


def _median_and_range(values: np.ndarray) -> Interval:
    """Seconds have a long tail when machines are shared: median and range, not mean."""
    usable = values[np.isfinite(values)]
    if not usable.size:
        return Interval(np.nan, np.nan, np.nan, 0, "no value")
    centre = float(np.median(usable))
    return Interval(centre, float(usable.min()), float(usable.max()), usable.size, "range")


def _expected(cells: pd.DataFrame, transformation: str) -> list[bool]:
    return [
        is_exact(row["group"], row["positional"], row["tokens"], transformation, row["model"])
        for _, row in cells.iterrows()
    ]


def _is_baseline(cells: pd.DataFrame, study: Study) -> pd.Series:
    matches = pd.Series(True, index=cells.index)
    for axis, value in study.settings.baseline.items():
        matches &= cells[axis].astype(str) == str(value)
    return matches


def _order(row: pd.Series) -> tuple:
    return (
        row["dataset"], row["model"], row["tokens"], int(row["depth"]),
        group_order(row["group"]), encoding_order(row["positional"]),
        augment_order(row["augment"]), images_order(row["training_images"]),
    )  # fmt: skip
