"""The conditions that a study compares, by data set and test: groups, augmentation, averaging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.report.analysis import label_symmetry, measures
from pipeline.report.analysis.families import Contrast, estimated, judged
from pipeline.report.analysis.label_symmetry import LabelSymmetry
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import Standard
from pipeline.report.load import Study
from pipeline.report.text.names import condition, condition_order, parse_group
from pipeline.study.models import reference_of

# The tests, each with its measure after averaging over four turns of every test image.
AVERAGED = {
    measures.UPRIGHT: measures.TTA_C4,
    measures.QUARTER: measures.QUARTER_TTA_C4,
    measures.ANY_ANGLE: measures.ANY_ANGLE_TTA_C4,
}
VERDICT = ["difference", "difference_low", "difference_high", "word", "comparisons"]
COLUMNS = [
    "dataset", "symmetry", "test", "condition", "model", "group", "augment", "averaged", "id",
    "label", "accuracy", "low", "high", "ceiling", "reference", "best", *VERDICT,
]  # fmt: skip


def overview(whole: pd.DataFrame, study: Study, sources: Mapping[str, Source]) -> pd.DataFrame:
    """Return a row per data set, test and condition, data sets by the symmetry of their labels.

    Of several cells of a condition the one of best validation accuracy stands for it. The
    `reference` is the largest group, built in, that the labels have; `difference` and `word`
    compare it with the condition of the row. A data set of known label symmetry has one test, its
    images as they are; another is tested turned, too.
    """
    tables = []
    for dataset, cells in whole.groupby("dataset", sort=False):
        symmetry = label_symmetry.of(study, str(dataset))
        for test in AVERAGED if symmetry is None else (measures.UPRIGHT,):
            rows = pd.DataFrame(_conditions(cells, test, symmetry))
            if len(rows):
                tables.append(_compared(rows, test, study, sources[str(dataset)]))
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    size = table["symmetry"].map(_size)
    order = table.assign(unknown=size.isna(), size=-size).sort_values(
        ["unknown", "size"], kind="stable"
    )
    return table.loc[order.index, COLUMNS].reset_index(drop=True)


def main_test(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first data set that are of its main test.

    That is quarter-turned images, unless they would change the labels.
    """
    mine = rows[rows["dataset"] == rows["dataset"].iloc[0]]
    turned = measures.QUARTER.column
    return mine[mine["test"] == (turned if turned in set(mine["test"]) else mine["test"].iloc[0])]


def _conditions(
    cells: pd.DataFrame, test: Measure, symmetry: LabelSymmetry | None
) -> list[dict[str, Any]]:
    rows = []
    models = cells["model"].nunique() > 1
    for _, part in cells.groupby(["model", "group", "augment"]):
        known = part[part[test.column].notna()]
        if known.empty:
            continue
        known = known.sort_values(measures.VALIDATION.column, ascending=False, kind="stable")
        cell, mean = known.iloc[0], AVERAGED[test]
        rows.append(_condition(cell, test, symmetry, models))
        if cell["group"] == "C1" and cell["augment"] == "none" and pd.notna(cell[mean.column]):
            rows.append(_condition(cell, mean, symmetry, models, averaged=True) | {
                "test": test.column})  # fmt: skip
    keys = ("model", "group", "augment", "averaged")
    return sorted(rows, key=lambda row: condition_order(*(row[key] for key in keys)))


def _condition(
    cell: pd.Series, measure: Measure, symmetry: LabelSymmetry | None, models: bool,
    averaged: bool = False,
) -> dict[str, Any]:  # fmt: skip
    group, augment = str(cell["group"]), str(cell["augment"])
    return {
        **{name: cell[name] for name in ("dataset", "model", "group", "augment", "id", "label")},
        "symmetry": symmetry.name if symmetry else "", "test": measure.column,
        "condition": condition(group, augment, averaged, str(cell["model"]) if models else ""),
        "averaged": averaged, "validation": cell[measures.VALIDATION.column],
        "accuracy": cell[measure.column],
        "low": cell[f"{measure.column}_low"], "high": cell[f"{measure.column}_high"],
        "ceiling": symmetry.ceiling("C4" if averaged else group) if symmetry else 1.0,
    }  # fmt: skip


def _compared(rows: pd.DataFrame, test: Measure, study: Study, source: Source) -> pd.DataFrame:
    found = label_symmetry.data_symmetry(study, str(rows["dataset"].iloc[0]))
    reference = _reference(rows, str(found.get("group")))
    rows = rows.assign(
        reference=rows.index == reference, best=rows["accuracy"] == rows["accuracy"].max()
    )
    if reference is None:
        return rows.reindex(columns=COLUMNS)
    first = _row(rows.loc[reference], test)
    others = [place for place in rows.index if place != reference]
    contrasts = [
        Contrast({first: 1.0, _row(rows.loc[place], test): -1.0}, {"place": place})
        for place in others if _row(rows.loc[place], test) != first
    ]  # fmt: skip
    standard = Standard(study.settings.margin, study.settings.confidence)
    found = judged(estimated(source, contrasts, test) if contrasts else None, standard, ["place"])
    found = found[["place", "difference", "low", "high", "word", "comparisons"]].set_axis(
        ["place", *VERDICT], axis=1
    )
    rows = rows.merge(found.set_index("place"), left_index=True, right_index=True, how="left")
    return rows[COLUMNS]


def _reference(rows: pd.DataFrame, recommended: str) -> int | None:
    """The group that fits, built in: without augmentation or averaging.

    That is the largest group of the labels' symmetry; where this is unknown, the group with quarter
    turns of best validation accuracy; of several, the one that preparation recommends.
    """
    known = rows["symmetry"].iloc[0] != ""
    turns = rows["group"].map(lambda name: (parse_group(name) or ("", 0))[1])
    usable = turns.isin([1, 2, 4] if known else [4])
    if known:
        usable &= rows["group"].map(LabelSymmetry(rows["symmetry"].iloc[0]).contains)
    usable &= ~rows["averaged"] & (rows["augment"] == "none")
    tied = usable & (rows["model"] == rows["model"].map(reference_of))
    usable = tied if tied.any() else usable  # rivals stand for it only alone
    if not usable.any():
        return None
    if known:
        return int(rows["group"].map(_size)[usable].idxmax())
    validation = rows["validation"].astype(float).round(9)[usable]  # means of seeds in any order
    best = validation[validation == validation.max()].index
    wanted = [place for place in best if rows["group"][place] == recommended]
    return int([*wanted, *best][0]) if len(best) else int(rows.index[usable][0])


def _row(row: pd.Series, test: Measure) -> Row:
    return Row(int(row["id"]), (AVERAGED[test] if row["averaged"] else test).column)


def _size(symmetry: str) -> float:
    """Number of elements of a group; every angle counts as more than any."""
    if symmetry in ("C", "D"):
        return 1e6 * (2 if symmetry == "D" else 1)
    parsed = parse_group(symmetry)
    return float("nan") if parsed is None else parsed[1] * (2.0 if parsed[0] == "D" else 1.0)
