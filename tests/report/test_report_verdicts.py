"""Verdicts of a made-up study: with and without predictions, groups, failures and several data."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from partial import Partial
from scipy import stats
from synthetic import Row, Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.common.errors import UserError
from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.effects import EVERY
from pipeline.report.analysis.samples import balance, with_intervals
from pipeline.report.analysis.verdicts import NOT_COMPARED, SAME, UNDECIDED
from pipeline.report.files import markdown, tables
from pipeline.report.load import Settings, load_study
from pipeline.report.page import templates
from pipeline.report.text import method, summary
from pipeline.results import records, schemas

SETTINGS = Settings("digits")
SHAPE = Shape(groups=("C1", "C4"), encodings=("absolute", "none"), depths=(1,), trials=1, epochs=1)
Tables = dict[str, list[Row]]
QUARTER, UPRIGHT = "test_accuracy_quarter_turned", "test_accuracy"


@functools.cache
def analysis_of(data: Path) -> Analysis:
    return analyse(load_study(SETTINGS, data))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with the predictions of all runs."""
    data = write_study(tmp_path_factory.mktemp("kept"), SHAPE)
    write_predictions(data)
    return data


def row_of(analysis: Analysis | Partial, measure: str, label: str = "C4 absolute") -> dict:
    rows = analysis.comparisons
    return rows[(rows["measure"] == measure) & (rows["label"] == label)].iloc[0].to_dict()


def test_kept_predictions_pair_cells_by_image(kept: Path, tmp_path: Path) -> None:
    lost = Partial.of(write_study(tmp_path, SHAPE))
    found = analysis_of(kept)
    one, other = row_of(found, UPRIGHT), row_of(lost, UPRIGHT)
    assert (one["basis"], one["images"], one["seeds"], one["groups"]) == ("", 450, 3, 0)
    assert one["difference"] == pytest.approx(other["difference"])
    assert one["high"] - one["low"] < other["high"] - other["low"]
    assert other["basis"].startswith("images not kept")
    assert "as if each cell had been tested on its own" in dict(method.entries(lost))["Comparisons"]
    assert "not kept" not in dict(method.entries(found))["Comparisons"]


def test_every_comparison_names_its_test_images(kept: Path) -> None:
    rows = tables.comparisons(analysis_of(kept))
    assert set(rows["test images"]) == set(measures.JUDGED.values())


@pytest.mark.parametrize("nothing", [math.nan, None, pd.NA])
def test_what_is_not_known_is_a_dash_in_tables(nothing: object) -> None:
    frame = pd.DataFrame(
        {"seen": ["yes", "no"], "value": pd.Series(["nan", nothing], dtype=object)}
    )
    assert markdown.table(frame).endswith("| yes | nan |\n| no | – |")
    assert "<td>nan</td>" in (page := templates.table(frame, "")) and "<td>–</td>" in page


def test_three_seeds_find_a_large_difference(kept: Path) -> None:
    row = row_of(analysis_of(kept), QUARTER)
    assert row["word"] == "clearly better"
    assert row["verdict"].startswith("clearly better: +8") and "after Holm over 3" in row["verdict"]
    assert "3 seeds, 450 test images)" in row["verdict"]


def test_an_undecided_verdict_says_what_would_decide(kept: Path) -> None:
    row = row_of(analysis_of(kept), UPRIGHT)
    assert row["word"] == UNDECIDED
    assert row["verdict"].endswith("neither more seeds nor more test images alone would decide")
    row = row_of(Partial.of(kept, margin=0.02), UPRIGHT)
    assert row["seeds_needed"] > 3 or row["images_needed"] > 450
    assert "; if the difference stays, " in row["verdict"]
    wide = row_of(Partial.of(kept, margin=0.05), UPRIGHT)
    assert wide["word"] == SAME and wide["verdict"].startswith("the same within 5 points: ")


def test_intervals_of_cells_are_those_of_the_verdicts(kept: Path) -> None:
    found = analysis_of(kept).cells.set_index("label")
    cell = found.loc["C1 absolute"]
    # quarter-turned accuracy of some 12 %: binomial half width of 450 images at least 2 points
    for column in (UPRIGHT, QUARTER, "test_accuracy_turned"):
        assert 0 <= cell[column + "_low"] < cell[column] < cell[column + "_high"] <= 1
    assert cell[QUARTER + "_high"] - cell[QUARTER + "_low"] > 0.02


@pytest.mark.parametrize(
    ("groups", "basis"),
    [
        (("serif", "sans", "mono", "slab", "script"), ""),
        (("serif", "sans", "mono"), "no claim beyond these 3 groups"),
    ],
)
def test_groups_of_test_images(tmp_path: Path, groups: tuple[str, ...], basis: str) -> None:
    data = write_study(tmp_path, SHAPE)
    write_predictions(data, groups=groups)
    analysis = Partial.of(data)
    row = row_of(analysis, UPRIGHT)
    assert (row["groups"], row["basis"]) == (len(groups), basis)
    assert f"450 test images in {len(groups)} groups" in row["verdict"]
    units = "groups of test images" if len(groups) > 3 else "over test images"
    assert units in dict(method.entries(analysis))["Intervals"]


def test_an_image_without_a_group_is_one_of_its_own(tmp_path: Path) -> None:
    data = write_study(tmp_path, SHAPE)
    write_predictions(data, groups=("a", "b", "c", "d", None))
    assert row_of(Partial.of(data), UPRIGHT)["groups"] == 4 + 90


def fail_some(tables: Tables) -> None:
    runs = [row for row in tables["runs"] if row["group"] == "C4"]
    runs[0] |= {"status": "diverged", "test_accuracy": 0.1}
    runs[1] |= {"test_accuracy": math.nan}


def test_failed_runs_are_left_out_and_counted(tmp_path: Path) -> None:
    row = row_of(Partial.of(write_study(tmp_path, SHAPE, fail_some)), UPRIGHT)
    assert (row["excluded"], row["seeds"]) == (2, 3)  # three of the baseline
    assert "2 runs failed and left out" in row["verdict"]
    assert row["difference"] > -0.1


def test_a_cell_without_a_finished_run_is_not_compared(tmp_path: Path) -> None:
    shape = replace(SHAPE, failing=("gsa-C4-none-d1-stem",))
    found = Partial.of(write_study(tmp_path, shape))
    row = row_of(found, UPRIGHT, "C4 none")
    assert row["word"] == NOT_COMPARED and row["verdict"] == "not compared: no finished run"
    assert row_of(found, UPRIGHT)["comparisons"] == 2, "the other two are a family"


def test_balanced_accuracy_weighs_images_by_class(kept: Path) -> None:
    assert balance(np.array([0, 0, 0, 1])) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    # classes of this study are equally frequent, so it is the accuracy
    study = load_study(SETTINGS, kept)
    runs = study.runs.assign(balanced_accuracy=study.runs[UPRIGHT])
    found = Partial(replace(study, runs=runs))
    one, other = (row_of(found, name) for name in ("balanced_accuracy", UPRIGHT))
    assert one["difference"] == pytest.approx(other["difference"], abs=0.005)
    assert one["high"] - one["low"] == pytest.approx(other["high"] - other["low"], rel=0.1)


def test_effects_are_averages_of_matched_pairs(kept: Path) -> None:
    analysis = analysis_of(kept)
    cells = analysis.cells.set_index(["group", "positional"])[QUARTER]
    rows = analysis.effects.set_index(["axis", "level", "measure"])
    row = rows.loc[("group", "C4", QUARTER)]
    expected = np.mean([cells["C4", name] - cells["C1", name] for name in ("absolute", "none")])
    assert row["difference"] == pytest.approx(expected)
    assert (row["contexts"], row["word"], row["dataset"]) == (2, "clearly better", "digits")
    assert row["comparisons"] == 2  # group and encoding
    pair = row_of(analysis, QUARTER)
    assert row["high"] - row["low"] < pair["high"] - pair["low"]


def test_effects_over_data_sets(tmp_path: Path) -> None:
    shape = replace(SHAPE, datasets=("digits", "letters"))
    data = write_study(tmp_path, shape)
    write_predictions(data)
    rows = Partial.of(data).effects
    rows = rows[(rows["axis"] == "group") & (rows["measure"] == QUARTER)].set_index("dataset")
    assert set(rows.index) == {"digits", "letters", EVERY}
    mean = rows.loc[["digits", "letters"], "difference"].mean()
    assert rows.loc[EVERY, "difference"] == pytest.approx(mean)
    assert rows.loc[EVERY, "datasets"] == 2
    assert "on these data sets" in rows.loc[EVERY, "verdict"]
    assert "2 data sets" in rows.loc[EVERY, "verdict"]


@pytest.mark.parametrize(("splits", "word"), [(2, NOT_COMPARED), (5, "clearly better")])
def test_the_split_is_the_unit_of_repeated_splits(tmp_path: Path, splits: int, word: str) -> None:
    study = load_study(SETTINGS, write_study(tmp_path, replace(SHAPE, seeds=range(101, 111))))
    runs = study.runs.assign(split=study.runs["seed"] % splits)
    analysis = Partial(replace(study, runs=runs))
    row = row_of(analysis, QUARTER)
    assert row["basis"] == f"{splits} splits" and row["word"] == word
    mine = runs[runs["positional"] == "absolute"].groupby(["group", "split"])[QUARTER].mean()
    differences = mine["C4"] - mine["C1"]
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["low"] < row["difference"] < row["high"]
    cells = with_intervals(analysis.cells, analysis.sources, SETTINGS.confidence)
    cell = cells[cells["label"] == "C4 absolute"].iloc[0]
    for column in (QUARTER, "macro_f1"):  # t over the splits' means, by hand
        values = runs[runs["cell"] == cell["cell"]].groupby("split")[column].mean()
        half = stats.t.ppf(0.975, splits - 1) * values.std() * math.sqrt(1 / splits + 450 / 1078)
        assert cell[column] == pytest.approx(values.mean())
        assert cell[f"{column}_low"] == pytest.approx(max(0, values.mean() - half))
    assert f"from {splits}: Student t" in dict(method.entries(analysis))["Intervals"]


def test_a_split_that_a_cell_has_not_finished_is_none_of_its_contrasts(tmp_path: Path) -> None:
    study = load_study(SETTINGS, write_study(tmp_path, replace(SHAPE, seeds=range(101, 107))))
    runs = study.runs.assign(split=study.runs["seed"] - 101)
    lost = (runs["cell"] == "gsa-C4-absolute-d1-stem") & (runs["split"] > 3)
    runs.loc[lost, "status"] = "failed"
    rows = Partial(replace(study, runs=runs)).comparisons
    rows = rows[rows["measure"] == QUARTER].set_index("label")
    assert rows.loc["C4 absolute", ["basis", "word"]].tolist() == ["4 splits", NOT_COMPARED]
    assert rows.loc["C4 none", "basis"] == "6 splits"
    assert rows.loc["C4 none", "word"] != NOT_COMPARED


@pytest.mark.deep
def test_too_few_splits_have_no_word_over_data_sets_either(tmp_path: Path) -> None:
    shape = replace(SHAPE, datasets=("digits", "letters"), seeds=range(101, 107))
    study = load_study(SETTINGS, write_study(tmp_path, shape))
    runs = study.runs.assign(split=study.runs["seed"] % 3)
    rows = Partial(replace(study, runs=runs)).effects
    assert set(rows["word"]) == {NOT_COMPARED} and EVERY in set(rows["dataset"])
    assert rows["seeds_needed"].isna().all() and rows["seeds"].max() == 2


def test_some_predictions_are_enough_for_the_variance_over_images(tmp_path: Path) -> None:
    data = write_study(tmp_path, SHAPE)
    write_predictions(data, every=2)  # not of every run
    row = row_of(Partial.of(data), UPRIGHT)
    assert row["basis"] == "" and row["seeds"] == 3


@pytest.mark.parametrize("spoil", ["longer", "another study", "cut"])
def test_predictions_that_do_not_fit_are_refused(tmp_path: Path, spoil: str) -> None:
    data = write_study(tmp_path, SHAPE)
    write_predictions(data)
    path = data / "confirm" / "digits" / "predictions.parquet"
    rows = records.read(path, schemas.PREDICTIONS).to_dict("records")
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        if spoil == "longer":
            rows[3]["prediction"] = np.zeros(451, dtype=np.uint16)
        else:
            rows = [row | {"study": "another"} for row in rows]
        provenance = records.read_provenance(path)
        records.write(path, rows, schemas.PREDICTIONS, provenance)
    with pytest.raises(UserError, match="dvc repro"):
        load_study(SETTINGS, data)


def test_the_sentence_states_the_verdict(kept: Path) -> None:
    text = summary.sentence(analysis_of(kept))
    assert text.startswith("On quarter-turned test images of digits, a network with quarter turns")
    assert "clearly better" in text
