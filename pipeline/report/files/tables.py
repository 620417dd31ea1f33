"""The report's tables, and writing any of them as CSV without surprises."""

from __future__ import annotations

import math
from collections.abc import Collection

import pandas as pd

from pipeline.report.analysis import ensembles, label_symmetry, measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.statistics import Interval
from pipeline.report.text import published
from pipeline.report.text.formatting import amount, percent_interval, plain, small
from pipeline.report.text.names import KEYS
from pipeline.report.text.summary import interval_of

# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")


def as_csv(table: pd.DataFrame) -> str:
    """Return CSV; text that a spreadsheet would run is quoted with an apostrophe."""
    safe = table.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column].dtype):
            safe[column] = [_harmless(value) for value in safe[column]]
    safe.columns = [_harmless(name) for name in safe.columns]
    return safe.to_csv(index=False, lineterminator="\n", float_format="%.8g")


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    return "'" + value if value.lstrip(" ").startswith(_FORMULA) else value


# Columns of the table of cells, in their order: cost first, so that it is in sight.
RESULTS = {
    "parameters": measures.PARAMS,
    "training FLOPs": measures.TRAINING_FLOPS,
    "seconds": measures.TRAINING_SECONDS,
    **{name: measure for measure, name in measures.TEST.items()},
    "error": measures.ERROR,
}
ERRORS = {
    "quarter turns": measures.ERROR,
    "mirrors": measures.ERROR_MIRROR,
    "any angle": measures.ERROR_TURNED,
    "loss by asymmetry": measures.ASYMMETRY,
    "the same, turned": measures.ASYMMETRY_TURNED,
    "Lie derivative, rotation": measures.LIE_ROTATION,
    "translation": measures.LIE_TRANSLATION,
}
AVERAGED = {
    "upright": measures.UPRIGHT,
    "averaged over C4": measures.TTA_C4,
    "over D4": measures.TTA_D4,
    "quarter-turned": measures.QUARTER,
    "averaged over C4 ": measures.QUARTER_TTA_C4,
    "any angle": measures.ANY_ANGLE,
    "averaged over C4  ": measures.ANY_ANGLE_TTA_C4,
    "over D4 ": measures.ANY_ANGLE_TTA_D4,
}
# Accuracies that mean nothing where a turn changes the label.
OF_TURNED = (
    measures.QUARTER,
    measures.QUARTER_TTA_C4,
    measures.ANY_ANGLE,
    measures.ANY_ANGLE_TTA_C4,
    measures.ANY_ANGLE_TTA_D4,
)
LABELS_CHANGE = "labels change"
SCORES = {
    "accuracy": measures.UPRIGHT,
    "balanced accuracy": measures.BALANCED,
    "macro F1": measures.MACRO_F1,
    "AUROC": measures.AUROC,
    "log-likelihood, negative": measures.LIKELIHOOD,
}


def results(analysis: Analysis) -> pd.DataFrame:
    """Return the readable table of cells: one column per measure, mean and interval as text."""
    return _of_cells(analysis.cells, RESULTS, _without_labels(analysis))


def errors(analysis: Analysis) -> pd.DataFrame:
    """Return the equivariance errors of the finished cells, of what was measured."""
    return _of_cells(analysis.drawn, _known(analysis, ERRORS))


def more(analysis: Analysis) -> list[tuple[str, str, pd.DataFrame, str]]:
    """Return further tables of cells: title, id, rows and caption, which says why it has none."""
    found = []
    if analysis.drawn[measures.TTA_C4.column].notna().any():
        found.append((
            "Averaging at test time", "averaging",
            _of_cells(analysis.drawn, _known(analysis, AVERAGED), _without_labels(analysis)),
            "Mean of the class probabilities over the turns (C4), or turns and mirrors (D4), of "
            "each test image: 4 or 8 times the FLOPs of a prediction, and no training.",
        ))  # fmt: skip
    if len(analysis.drawn):
        rows = _ensembles(analysis)
        found.append((
            "Deep ensembles", "ensembles", rows, f"None: {ensembles.ABSENT}." if rows.empty else
            "The mean of the class probabilities of all confirmed seeds of a cell, and the mean "
            "accuracy of its single networks; intervals over test images.",
        ))  # fmt: skip
    if analysis.drawn[measures.MACRO_F1.column].notna().any():
        found.append((
            "Other scores", "scores", _of_cells(analysis.drawn, _known(analysis, SCORES)),
            "Upright test images. Where classes differ in size, accuracy is mostly that of the "
            "largest; the others count every class the same.",
        ))  # fmt: skip
    return found


def _ensembles(analysis: Analysis) -> pd.DataFrame:
    rows = analysis.ensembles
    return pd.DataFrame({
        "id": rows["id"], "cell": rows["label"], "test images": rows["measure"].map(measures.SHORT),
        "networks": rows["networks"],
        "ensemble": [
            percent_interval(Interval(row["accuracy"], row["low"], row["high"], 1, ""))
            for _, row in rows.iterrows()
        ],
        "single": [percent_interval(Interval(value, math.nan, math.nan, 1, ""))
                   for value in rows["single"]],
    })  # fmt: skip


def data_sets(analysis: Analysis) -> pd.DataFrame:
    """Return what preparation found about the symmetry of every data set."""
    rows = []
    for name in analysis.cells["dataset"].drop_duplicates():
        known = label_symmetry.data_symmetry(analysis.study, str(name))
        if known:
            rows.append({
                "data set": plain(name, 30),
                "symmetry of the labels": plain(known.get("labels") or "not known", 30),
                "measured": "\n".join(known.get("findings", ())) or "not measured",
                "recommendation": known.get("recommendation", ""),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _known(analysis: Analysis, shown: dict[str, measures.Measure]) -> dict[str, measures.Measure]:
    return {
        name: one for name, one in shown.items() if analysis.drawn[one.column].notna().any()
    }  # fmt: skip


def _without_labels(analysis: Analysis) -> set[str]:
    """Return the data sets whose labels change when an image is turned."""
    names = analysis.cells["dataset"].unique()
    return {n for n in names if not label_symmetry.turns_keep_labels(analysis.study, n)}


def _of_cells(
    cells: pd.DataFrame, shown: dict[str, measures.Measure], without_labels: Collection[str] = ()
) -> pd.DataFrame:
    """Text of some measures; accuracies on turned images are left out where turns change labels."""
    return pd.DataFrame([
        {"id": cell["id"], "cell": plain(cell["label"], 90), "seeds": int(cell["runs_finished"])}
        | {
            name: LABELS_CHANGE if cell["dataset"] in without_labels and measure in OF_TURNED
            else _as_text(cell, measure)
            for name, measure in shown.items()
        }
        for _, cell in cells.iterrows()
    ])  # fmt: skip


def _as_text(cell: pd.Series, measure: measures.Measure) -> str:
    if measure.kind == "fraction":
        return percent_interval(interval_of(cell, measure.column)).replace(" %", "")
    return (small if measure.kind == "error" else amount)(cell[measure.column])


def comparisons(analysis: Analysis) -> pd.DataFrame:
    """Return every comparison with the baseline and its verdict."""
    rows = analysis.comparisons
    return pd.DataFrame({
        "id": rows["id"], "cell": rows["label"],
        "test images": rows["measure"].map(measures.JUDGED),
        "against": rows["baseline_label"], "verdict": rows["verdict"],
    })  # fmt: skip


def published_numbers(analysis: Analysis) -> pd.DataFrame:
    """Return what others published on the data sets of the study."""
    return published.of_study(analysis.cells["dataset"].unique())


def checks(analysis: Analysis) -> pd.DataFrame:
    """Return what was expected, what was found, and whether it holds."""
    return pd.DataFrame(analysis.checks)


def failures(analysis: Analysis) -> pd.DataFrame:
    """Return counts of what went wrong, by cell, stage, status and reason.

    A trial that was stopped early is no failure.
    """
    parts = []
    for stage, frame in (("sweep", analysis.trials), ("confirm", analysis.runs)):
        lost = frame[~frame["status"].isin(["completed", "stopped"])]
        parts.append(lost.assign(stage=stage)[["id", "label", "stage", "status", "reason"]])
    lost = pd.concat(parts).fillna({"reason": "no reason recorded", "status": "unknown"})
    keys = ["id", "label", "stage", "status", "reason"]
    counts = lost.groupby(keys, sort=False).size().rename("count").reset_index()
    counts = counts.sort_values(["id", "stage", "status"], kind="stable")
    return counts.rename(columns={"label": "cell"})


def status_counts(analysis: Analysis) -> pd.DataFrame:
    """Return how many trials and runs of each cell ended in which status."""
    parts = []
    for stage, frame in (("trials", analysis.trials), ("runs", analysis.runs)):
        counts = frame.groupby(["id", "status"]).size().unstack(fill_value=0)
        parts.append(counts.add_prefix(f"{stage} "))
    table = pd.concat(parts, axis=1).fillna(0).astype(int).reset_index()
    return analysis.cells[["id", *KEYS[1:]]].merge(table, on="id", how="left").fillna(0)


def all_tables(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """Return the tables that are not the data of a figure by file name, as the page has them."""
    return {
        "rivals": analysis.rivals,
        "choices": analysis.choices,
        "size_curves": analysis.size_curves,
        "size_gaps": analysis.size_gaps,
        "cells": analysis.cells,
        "checks": checks(analysis),
        "status": status_counts(analysis),
        "failures": failures(analysis),
        "ensembles": analysis.ensembles,
        "comparisons": analysis.comparisons,
        **({"published": known} if len(known := published_numbers(analysis)) else {}),
    }
