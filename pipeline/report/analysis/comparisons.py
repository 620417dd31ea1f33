"""Every cell against its baseline, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis import families, measures
from pipeline.report.analysis.cells import UNSAID
from pipeline.report.analysis.families import Contrast, estimated, judged
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import Standard
from pipeline.report.load import Settings
from pipeline.report.text.formatting import listed, plain
from pipeline.report.text.names import AXES, axis_name

# Measures of the figures, and those that are judged.
MEASURED = (measures.UPRIGHT, measures.QUARTER, measures.ANY_ANGLE)
JUDGED = (*MEASURED, measures.BALANCED)
NAMES = ["id", "label", "baseline_id", "baseline_label", "dataset", "measure"]
COLUMNS = [*NAMES, *families.COLUMNS]


def against_baseline(
    sources: Mapping[str, Source], cells: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Compare every cell with the baseline of its data set and `settings.matched` axes.

    Returns one row per cell and measure. Comparisons of one data set and measure are a family.
    """
    standard = Standard(settings.margin, settings.confidence)
    rows = []
    for measure in JUDGED:
        for name, source in sources.items():
            here = cells[cells["dataset"] == name]
            found = estimated(source, pairs(here, measure, settings), measure)
            rows.append(judged(found, standard, NAMES))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS)


def pairs(cells: pd.DataFrame, measure: Measure, settings: Settings) -> list[Contrast]:
    """Return the contrast of every cell with its baseline, where it has one."""
    found, cells = [], cells[["id", "label", "baseline", *AXES]]
    known = baselines(cells, settings)
    for _, cell in cells.iterrows():
        baseline = known.get(int(cell["id"]))
        if baseline is not None:
            weights = {
                Row(int(cell["id"]), measure.column): 1.0,
                Row(int(baseline["id"]), measure.column): -1.0,
            }
            found.append(Contrast(weights, {
                "id": cell["id"], "label": cell["label"], "baseline_id": baseline["id"],
                "baseline_label": baseline["label"], "dataset": cell["dataset"],
                "measure": measure.column,
            }))  # fmt: skip
    return found


def baselines(cells: pd.DataFrame, settings: Settings) -> dict[int, pd.Series]:
    """Return the baseline that a cell is compared with, by the cell's id, of those that have it."""
    keys = list(cells[["dataset", *settings.matched]].itertuples(index=False, name=None))
    first: dict[tuple[Any, ...], pd.Series] = {}
    for place in np.flatnonzero(cells["baseline"]):
        first.setdefault(keys[place], cells.iloc[place])
    others = zip(cells["id"], keys, cells["baseline"], strict=True)
    return {int(number): first[key] for number, key, own in others if not own and key in first}


def baseline_name(settings: Settings) -> str:
    """Name the baseline as labels do: ``C1 absolute``."""
    said = {
        axis: value for axis, value in settings.baseline.items()
        if str(value) != UNSAID.get(axis) or len(settings.baseline) == 1
    }  # fmt: skip
    return " ".join(plain(axis_name(axis, value), 20) for axis, value in said.items())


def baseline_matched(settings: Settings) -> str:
    """Name what a cell and its baseline have in common."""
    names = {"augment": "augmentation", "training_images": "number of training images"}
    return listed(["data set", *(names.get(axis, axis) for axis in settings.matched)], 8)


def no_comparison(settings: Settings) -> str:
    """Say that no cell can be compared."""
    return (
        f"No comparison: no cell shares {baseline_matched(settings)} with the baseline "
        f"{baseline_name(settings)}."
    )
