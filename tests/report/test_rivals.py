"""Exact symmetry against turned training images and against averaging at test time."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from partial import Partial
from synthetic import PROVENANCE, Row, Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.report.analysis import checks, measures
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.contrasts import sample_of
from pipeline.report.load import Settings, Study, load_study

SETTINGS = Settings("digits")
UPRIGHT, QUARTER = "test_accuracy", "test_accuracy_quarter_turned"


def turned(tables: dict[str, list[Row]]) -> None:
    """Give the second depth of the study the meaning of an augmentation."""
    for name, rows in tables.items():
        for row in rows:
            if row.get("depth") == 2:
                row |= {"depth": 1, "augment": "turn", "cell": row["cell"] + "-turn"}
                if name == "runs" and row["group"] == "C1":
                    row[QUARTER] = row["test_accuracy"] - 0.02


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(groups=("C1", "C4"), encodings=("none", "absolute"), depths=(1, 2), trials=1,
                  epochs=1)  # fmt: skip
    data = write_study(tmp_path_factory.mktemp("rivals"), shape, turned)
    write_predictions(data)
    return data


@pytest.fixture(scope="module")
def analysis(study: Path) -> Analysis:
    loaded = load_study(SETTINGS, study)
    runs = loaded.runs
    averaged = runs.assign(
        test_accuracy_tta_c4=runs[UPRIGHT] - 0.3,
        test_accuracy_tta_d4=runs[UPRIGHT] - 0.4,
        test_accuracy_quarter_turned_tta_c4=runs[UPRIGHT] - 0.3,
        test_accuracy_turned_tta_c4=0.2, test_accuracy_turned_tta_d4=0.2, measured_images=100,
    )  # fmt: skip
    return analyse(replace(loaded, runs=averaged))


def row_of(analysis: Analysis, measure: str, reference: str) -> dict:
    rows = analysis.rivals
    found = rows[(rows["measure"] == measure) & (rows["reference"] == reference)]
    assert len(found) == 1
    return found.iloc[0].to_dict()


def test_exact_cells_against_turned_training_images(analysis: Analysis) -> None:
    row = row_of(analysis, QUARTER, "C1 turn")
    cells = analysis.cells.set_index(["group", "augment", "positional"])[QUARTER]
    expected = np.mean(
        [cells["C4", "none", name] - cells["C1", "turn", name] for name in ("none", "absolute")]
    )
    assert row["difference"] == pytest.approx(expected)
    assert (row["axis"], row["level"], row["contexts"]) == ("augment", "C4", 2)
    assert row["basis"] == ""


@pytest.mark.parametrize(
    ("measure", "reference", "images"),
    [
        (QUARTER, "C1 averaged over C4", 450),
        (UPRIGHT, "C1 averaged over C4", 450),
        # measured on the first images alone, so exact cells are judged on those
        (UPRIGHT, "C1 averaged over D4", 100),
        ("test_accuracy_turned", "C1 averaged over C4", 100),
    ],
)
def test_exact_cells_against_averaging_at_test_time(
    analysis: Analysis, measure: str, reference: str, images: int
) -> None:
    row = row_of(analysis, measure, reference)
    assert (row["axis"], row["images"], row["word"]) == ("averaging", images, "clearly better")
    assert "images not kept" in row["basis"], "averages have no predictions in this study"


def test_without_the_columns_there_is_no_averaging(study: Path) -> None:
    loaded = load_study(SETTINGS, study)
    lost = [name for name in loaded.runs if "tta" in name]
    rows = Partial(replace(loaded, runs=loaded.runs.drop(columns=lost))).rivals
    assert set(rows["axis"]) == {"augment"}


def test_rows_measured_on_fewer_images_cut_the_others(study: Path) -> None:
    from pipeline.report.analysis.samples import Row as SampleRow

    analysis = Partial.of(study)
    source = analysis.sources["digits"]
    correct = {
        key: (bits[:13] if key[2] == "turned" else bits, 100 if key[2] == "turned" else count)
        for key, (bits, count) in source.predictions.correct.items()
    }
    short = replace(source, predictions=replace(source.predictions, correct=correct))
    rows = [SampleRow(0, UPRIGHT), SampleRow(1, "test_accuracy_turned")]
    sample = short.sample(rows)
    assert sample is not None and sample.images == 100 and sample.right is not None
    upright = [
        source.predictions.of(str(analysis.cells["cell"][0]), seed, ["upright"])
        for seed in (101, 102, 103)
    ]
    by_hand = sample_of(np.array([upright])[:, :, :100])
    assert sample.accuracy[0] == pytest.approx(by_hand.accuracy[0])
    assert sample.variance[0] == pytest.approx(by_hand.variance[0])


def other_ways(tables: dict[str, list[Row]]) -> None:
    """Give the second depth of the study the meaning of another model: a rival of `gsa`."""
    rivals = {"C1": "penalised", "C4": "canonical", "D4": "soft"}
    for rows in tables.values():
        for row in rows:
            if row.get("depth") == 2:
                model = rivals[row["group"]]
                row |= {"depth": 1, "model": model, "cell": row["cell"].replace("gsa", model)}


@pytest.fixture(scope="module")
def with_models(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(encodings=("relative",), trials=1, epochs=1)
    data = write_study(tmp_path_factory.mktemp("r"), shape, other_ways)
    return analyse(load_study(SETTINGS, data))


@pytest.mark.parametrize(
    ("level", "rival", "group"),
    [("C4", "canonical", "C4"), ("D4", "soft", "D4"), ("C4", "penalised", "C1"),
     ("D4", "penalised", "C1")],
)  # fmt: skip
def test_exact_cells_against_other_models(
    with_models: Analysis, level: str, rival: str, group: str
) -> None:
    rows = with_models.rivals[with_models.rivals["level"] == level]
    row = rows[(rows["measure"] == QUARTER) & (rows["reference"] == f"{rival} {group}")].iloc[0]
    cells = with_models.cells.set_index(["group", "model"])[QUARTER]
    assert row["axis"] == "model"
    assert row["difference"] == pytest.approx(cells[level, "gsa"] - cells[group, rival])


def test_rivals_have_the_group_of_the_exact_cell_or_the_baselines(with_models: Analysis) -> None:
    pairs = set(zip(with_models.rivals["level"], with_models.rivals["reference"], strict=True))
    assert ("C4", "soft D4") not in pairs
    assert not {name for name, _ in pairs} - {"C4", "D4"}


def test_rivals_are_named_beside_the_model_in_the_tradeoff(with_models: Analysis) -> None:
    from pipeline.report.figures import tradeoff
    from pipeline.report.plotting.style import report_style

    rows = tradeoff.table(with_models)
    assert set(rows["reference"]) == {"gsa"} and set(rows["model"]) > {"gsa", "soft"}
    with report_style():
        (axes,) = tradeoff.draw(rows, with_models).axes
    assert {"canonical", "soft", "penalised"} <= {text.get_text() for text in axes.texts}


@pytest.mark.parametrize("figure", ["asymmetry", "curves", "turn"])
def test_rivals_have_markers_on_lines_in_the_panel_of_their_model(
    figure: str, with_models: Analysis
) -> None:
    from pipeline.report.plotting.style import report_style

    module = importlib.import_module(f"pipeline.report.figures.{figure}")
    with report_style():
        drawn = module.draw(module.table(with_models), with_models)
    (axes,) = drawn.axes
    assert {line.get_marker() for line in axes.lines} >= {"x", "|", "v"}
    (legend,) = drawn.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said[said.index("Model") :] == ["Model", "gsa", "canonical", "penalised", "soft"]


def test_names_of_rivals_that_lie_close_together_do_not_overlap(with_models: Analysis) -> None:
    from pipeline.report.figures import tradeoff
    from pipeline.report.plotting.style import report_style

    rows = tradeoff.table(with_models)
    rivals = rows["model"] != "gsa"
    for step in (0.0, 0.001, 0.004):  # of accuracy, from one to the next
        rows.loc[rivals, QUARTER] = 0.22 + step * np.arange(rivals.sum())
        rows.loc[rivals, "invariance_error"] = 0.8
        with report_style():
            figure = tradeoff.draw(rows, with_models)
            figure.canvas.draw()
            names = [text for text in figure.axes[0].texts if text.get_text() in set(rows["model"])]
            boxes = [name.get_window_extent() for name in names]
        assert len(names) == 3
        assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))


@pytest.mark.parametrize("known", [{}, {"data_symmetry": {"labels": "D", "classes": 4}}])
def test_the_first_sentence_is_about_exact_ties_not_a_rival(known: Row, tmp_path: Path) -> None:
    """Named before `gsa`, of the same group, and better on validation images."""

    def canonical(tables: dict[str, list[Row]]) -> None:
        for row in (row for rows in tables.values() for row in rows if row.get("depth") == 2):
            row |= {"depth": 1, "model": "canonical", "cell": row["cell"].replace("gsa", "can")}
            if "validation_accuracy" in row:
                row["validation_accuracy"] = 0.999

    shape = Shape(groups=("C1", "C4"), encodings=("relative",), trials=1, epochs=1,
                  provenance={**PROVENANCE, **known})  # fmt: skip
    found = Partial.of(write_study(tmp_path, shape, canonical)).overview
    assert "canonical" in set(found["model"])
    assert set(found.loc[found["reference"], "model"]) == {"gsa"}


def test_loosened_ties_are_not_expected_to_be_exact(with_models: Analysis) -> None:
    exact = with_models.cells.set_index(["group", "model"])["exact"]
    assert exact["D4", "gsa"] and exact["C4", "canonical"]
    assert not exact["D4", "soft"] and not exact["C1", "penalised"]


def test_each_exact_group_and_its_rivals_are_one_family(with_models: Analysis) -> None:
    found = with_models.rivals
    tested = found[found["p_holm"].notna()]
    sizes = tested.groupby(["dataset", "measure", "level"]).size()
    stated = tested.groupby(["dataset", "measure", "level"])["comparisons"].agg(["min", "max"])
    assert tested["level"].nunique() > 1
    assert (stated["min"] == sizes).all() and (stated["max"] == sizes).all()


def test_several_exact_groups_beside_turned_training_images(tmp_path: Path) -> None:
    shape = Shape(groups=("C1", "C4", "D4"), encodings=("none",), depths=(1, 2), trials=1, epochs=1)
    found = Partial.of(write_study(tmp_path, shape, turned)).rivals
    assert set(found.loc[found["axis"] == "augment", "level"]) == {"C4", "D4"}


def checks_of(loaded: Study, **changes: float) -> list[str]:
    """The outcomes of the checks where the first run of an exact cell has these values."""
    runs = loaded.runs.copy()
    exact = runs.index[(runs["group"] == "C4") & (runs["positional"] == "none")][0]
    runs["tied_images"] = runs["tied_images"].astype(float)
    for name, value in changes.items():
        runs.loc[exact, name] = value
    changed = Partial(replace(loaded, runs=runs))
    found = (
        checks.exact_cells(changed.cells, "exact", measures.ERROR.column, "quarter turns"),
        checks.same_answers(changed.cells, changed.runs),
    )
    return [f"{check.found}: {check.outcome}" for check in found]


def test_images_that_tie_do_not_fail_the_check_of_exactness(study: Path) -> None:
    """Where two elements score within rounding, a network that chooses one promises nothing."""
    loaded = load_study(SETTINGS, study)
    moved = {"invariance_error": 0.01, "consistency": 0.98}
    assert all("fails" in found for found in checks_of(loaded, **moved))
    size = float(loaded.runs["test_images"].iloc[0])
    tied = {**moved, "tied_images": round(0.02 * size), "invariance_error_untied": 2e-7}
    said = f"without {round(0.02 * size)} image"
    assert all("holds" in found and said in found for found in checks_of(loaded, **tied))
    broken = {**tied, "invariance_error_untied": 0.01, "consistency": 0.9}
    assert all("fails" in found for found in checks_of(loaded, **broken))
    every = {**moved, "tied_images": size}
    assert all("holds" in found for found in checks_of(loaded, **every))
