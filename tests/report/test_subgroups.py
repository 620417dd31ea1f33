"""For whom: accuracy and verdicts by class, by group of images, by orientation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from partial import Partial
from synthetic import Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.subgroups import FEWEST_IMAGES, MOST_GROUPS, subgroups_of
from pipeline.report.figures import subgroups as figure
from pipeline.report.load import Settings, load_study
from pipeline.report.plotting.style import report_style
from pipeline.report.predictions import TestImages
from pipeline.results import records, schemas

UPRIGHT, QUARTER = "test_accuracy", "test_accuracy_quarter_turned"
GROUPS = ("anna", "ben", "carl", "dora", None)
SETTINGS = Settings("digits", baseline={"group": "C1", "positional": "relative"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(groups=("C1", "C4"), encodings=("relative",), depths=(1,), trials=1, epochs=1)
    folder = write_study(tmp_path_factory.mktemp("subgroups"), shape)
    write_predictions(folder, GROUPS)
    return folder


@pytest.fixture(scope="module")
def analysis(data: Path) -> Analysis:
    return analyse(load_study(SETTINGS, data))


def by_hand(data: Path, group: str, chosen: Callable[[pd.DataFrame], pd.Series],
            conditions: tuple[str, ...]) -> float:  # fmt: skip
    """Accuracy on some images, straight from the two tables."""
    folder = data / "confirm" / "digits"
    images = records.read(folder / "images.parquet", schemas.IMAGES).sort_values("image")
    rows = records.read(folder / "predictions.parquet", schemas.PREDICTIONS)
    rows = rows[(rows["group"] == group) & rows["condition"].isin(conditions)]
    right = np.stack(rows["prediction"].to_list()) == images["label"].to_numpy()
    return float(right[:, chosen(images).to_numpy()].mean())


QUARTERS = ("quarter_90", "quarter_180", "quarter_270")
CASES = [
    ("class", "3", UPRIGHT, lambda x: x["label"] == 3, ("upright",)),
    ("class", "9", QUARTER, lambda x: x["label"] == 9, QUARTERS),
    ("group", "carl", UPRIGHT, lambda x: x["group"] == "carl", ("upright",)),
    ("group", "anna", QUARTER, lambda x: x["group"] == "anna", QUARTERS),
    ("orientation", "180°", QUARTER, lambda x: x["label"] >= 0, ("quarter_180",)),
]


def row_of(analysis: Analysis, by: str, name: str, measure: str, group: str = "C4") -> pd.Series:
    rows = analysis.subgroups
    number = analysis.cells.set_index("group")["id"][group]
    rows = rows[(rows["by"] == by) & (rows["subgroup"] == name) & (rows["id"] == number)]
    (row,) = (row for _, row in rows[rows["measure"] == measure].iterrows())
    return row


@pytest.mark.parametrize(("by", "name", "measure", "chosen", "conditions"), CASES)
def test_accuracies_and_differences_are_those_of_the_predictions(
    data: Path, analysis: Analysis, by: str, name: str, measure: str, chosen: Callable,
    conditions: tuple[str, ...],
) -> None:  # fmt: skip
    row = row_of(analysis, by, name, measure)
    mine, other = (by_hand(data, group, chosen, conditions) for group in ("C4", "C1"))
    assert row["accuracy"] == pytest.approx(mine)
    assert row["difference"] == pytest.approx(mine - other)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert row["baseline_label"] and row["word"] and row["verdict"]
    assert row_of(analysis, by, name, measure, "C1")["accuracy"] == pytest.approx(other)


def test_frequencies_and_sizes_stand_beside(analysis: Analysis) -> None:
    row = row_of(analysis, "class", "3", UPRIGHT)
    assert (row["images"], row["share"]) == (45, pytest.approx(0.1))
    assert row_of(analysis, "orientation", "90°", QUARTER)["share"] == 1


def test_the_worst_subgroup_is_marked_once_a_kind_and_cell(analysis: Analysis) -> None:
    rows = analysis.subgroups
    for _, part in rows.groupby(["by", "measure", "id"]):
        assert part.loc[part["worst"], "accuracy"].max() == part["accuracy"].min()


def test_subgroups_of_one_kind_and_measure_are_a_family(analysis: Analysis) -> None:
    """Ten classes and one cell beside its baseline: ten comparisons, adjusted together."""
    rows = analysis.subgroups
    compared = rows[(rows["by"] == "class") & rows["difference"].notna()]
    assert set(compared["comparisons"]) == {10}
    assert (compared["p_holm"] >= compared["p"]).all()
    assert set(rows.loc[(rows["by"] == "group"), "groups"]) == {0}, "a group is one cluster"
    assert set(rows.loc[(rows["by"] == "class"), "groups"]) > {0} or (rows["groups"] >= 0).all()


def test_images_without_a_group_and_small_groups_are_none() -> None:
    groups = np.array(["large"] * 6 + ["small"] * (FEWEST_IMAGES - 1) + ["image 10", "image 11"])
    found = subgroups_of(TestImages(np.zeros(len(groups), dtype=np.int64), groups))
    assert {one.name for one in found if one.by == "group"} == {"large"}
    many = np.repeat([f"p{i:03}" for i in range(MOST_GROUPS + 9)], FEWEST_IMAGES)
    found = subgroups_of(TestImages(np.zeros(len(many), dtype=np.int64), many))
    assert len({one.name for one in found if one.by == "group"}) == MOST_GROUPS


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lost", ["all", "one cell", "turned"])
def test_what_was_not_kept_is_left_out(data: Path, lost: str) -> None:
    study = load_study(SETTINGS, data)
    known = study.predictions["digits"]
    kept = {
        key: value for key, value in known.correct.items()
        if not (lost == "all" or (lost == "one cell" and "C4" in key[0])
                or (lost == "turned" and key[2].startswith("quarter")))
    }  # fmt: skip
    study = replace(study, predictions={"digits": replace(known, correct=kept)})
    rows = Partial(study).subgroups
    if lost == "all":
        assert rows.empty
    elif lost == "one cell":
        assert rows["id"].nunique() == 1 and rows["difference"].isna().all()
    else:
        assert set(rows["measure"]) == {UPRIGHT, QUARTER}
        assert set(rows.loc[rows["measure"] == QUARTER, "subgroup"]) == {"0°"}


def test_the_figure_names_the_worst_with_its_size(analysis: Analysis) -> None:
    rows = figure.table(analysis)
    with report_style():
        drawn = figure.draw(rows, analysis)
    names = [text.get_text() for axes in drawn.axes for text in axes.get_yticklabels()]
    assert any("(45, 10 %)" in name for name in names)
    said = figure.caption(rows, analysis)
    best = rows[(rows["by"] == "class") & (rows["measure"] == UPRIGHT) & rows["worst"]]
    assert "worst class" in said and any(f"class {name} (45" in said for name in best["subgroup"])
    assert "against the baseline" in said
