"""The first screen: ceilings, the group that fits, the sentence, its figure and its numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text
from synthetic import PROVENANCE, Row, Shape, write_study

from pipeline.report.analysis import label_symmetry, measures
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.label_symmetry import LabelSymmetry
from pipeline.report.analysis.overview import main_test
from pipeline.report.figures import (
    asymmetry,
    calibration,
    cost,
    curves,
    headline,
    tradeoff,
    transformations,
    turn,
)
from pipeline.report.files import tables
from pipeline.report.load import Settings, load_study
from pipeline.report.plotting import marks, panels, style
from pipeline.report.text import formatting, summary
from pipeline.report.text.summary import gaps

ACCURACY = {"D": {"C1": 0.7, "C4": 0.9}, "C1": {"C1": 0.99, "C4": 0.25}}
GLYPHS = Shape(groups=("C1", "C4"), encodings=("relative",), depths=(1,), epochs=8, trials=1)


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two data sets of known label symmetry: every turn and mirror, and none."""
    root = tmp_path_factory.mktemp("glyphs")
    for symmetry, accuracy in ACCURACY.items():

        def change(tables: dict[str, list[Row]], accuracy: dict[str, float] = accuracy) -> None:
            for run in tables["runs"]:
                run["test_accuracy"] = accuracy[run["group"]] + 0.001 * (run["seed"] - 102)
                # Averaging is as bad as the group would be.
                run["test_accuracy_tta_c4"] = accuracy["C4"]

        known = {"data_symmetry": {"labels": symmetry, "classes": 4}}
        shape = replace(GLYPHS, datasets=(f"of-{symmetry}",), provenance={**PROVENANCE, **known})
        data = write_study(root, shape, change)
    return analyse(load_study(Settings("digits"), data))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = replace(GLYPHS, augments=("none", "turn"))
    data = write_study(tmp_path_factory.mktemp("digits"), shape)
    return analyse(load_study(Settings("digits"), data))


def test_the_largest_group_of_the_labels_is_compared_with_every_other(glyphs: Analysis) -> None:
    rows = glyphs.overview
    fits = rows[rows["reference"]].set_index("dataset")["condition"]
    assert fits.to_dict() == {"of-D": "C4", "of-C1": "C1"}
    assert set(rows["test"]) == {measures.UPRIGHT.column}, "turned tests would change labels"
    stuck = rows[rows["ceiling"] < 1].set_index(["dataset", "condition"])["ceiling"]
    assert stuck.to_dict() == {("of-C1", "C4"): 0.25, ("of-C1", "C1, averaged"): 0.25}
    others = rows[(rows["dataset"] == "of-C1") & (rows["condition"] == "C4")].iloc[0]
    assert others["difference"] == pytest.approx(0.74)
    assert others["word"] == "clearly better"
    assert set(tradeoff.table(glyphs)["dataset"]) == {"of-D"}


def test_the_sentence_says_that_the_group_that_fits_is_best(glyphs: Analysis) -> None:
    said = summary.sentence(glyphs)
    assert said.startswith("The network with the symmetry of the labels is the best")
    assert "on all 2 data sets" in said and "more symmetry than the labels fails (25 %" in said


def test_the_sentence_counts_the_data_sets_where_another_is_better(glyphs: Analysis) -> None:
    lost = glyphs.overview.copy()
    lost.loc[lost["dataset"] == "of-D", "word"] = "clearly worse"
    said = summary.finding(replace(glyphs, overview=lost))
    assert "on 1 of 2 data sets" in said


def test_without_known_symmetry_what_is_built_in_meets_its_rivals(digits: Analysis) -> None:
    said = summary.sentence(digits)
    assert said.startswith(
        "On quarter-turned test images of digits, a network with quarter turns built in (C4) "
    )
    taught = "a network without symmetry trained on images turned by any angle (C1 + turns)"
    assert f"clearly better than the best without built-in symmetry: {taught}, reaches" in said
    assert "A network without symmetry (C1) alone reaches 1" in said
    numbers = summary.key_numbers(digits)
    assert len(numbers) == 3 and all("[" in number.value for number in numbers)
    said = numbers[2].label
    assert said.startswith("the difference: clearly better, for 4 times the FLOPs")
    count = main_test(digits.overview)["comparisons"].max()
    assert count > 1 and f"corrected for {count:.0f} comparisons on these images (Holm's" in said


def test_one_comparison_is_not_corrected(digits: Analysis) -> None:
    alone = replace(digits, overview=digits.overview.assign(comparisons=1))
    assert "corrected" not in summary.key_numbers(alone)[2].label


@pytest.mark.parametrize(
    ("symmetry", "augment", "accuracy", "said"),
    [
        ("C2", "turn", 0.69, True),
        ("C2", "turn", 0.52, False),
        ("C1", "turn", 0.32, True),
        ("C1", "quarter", 0.29, False),
        ("C", "turn", 0.69, False),
        ("C", "turn_mirror", 0.69, True),
        ("D", "turn_mirror", 0.99, False),
        ("", "turn", 0.99, False),
        ("C2", "none", 0.99, False),
    ],
)
def test_labels_that_say_nothing_are_explained_where_they_seem_to(
    glyphs: Analysis, symmetry: str, augment: str, accuracy: float, said: bool
) -> None:
    rows = headline.table(glyphs).assign(augment="none")
    row = rows.index[0]
    rows.loc[row, ["symmetry", "augment", "accuracy"]] = [symmetry, augment, accuracy]
    notes = "".join(text.get_text() for text in headline.draw(rows, glyphs).texts)
    assert ("best one on upright validation" in " ".join(notes.split())) == said


@pytest.mark.parametrize(
    ("models", "turned"), [(["gsa"], False), (["gsa", "canonical", "penalised"], True)]
)
def test_names_of_columns_do_not_overlap(digits: Analysis, models: list[str], turned: bool) -> None:
    one = headline.table(digits)
    rows = pd.concat(
        [one.assign(model=name, condition=f"{name} " + one["condition"]) for name in models],
        ignore_index=True,
    )
    with style.report_style():
        figure = headline.draw(rows, digits)
        figure.canvas.draw()
        labels = figure.axes[0].get_xticklabels()
        boxes = [label.get_window_extent() for label in labels]
    assert len(labels) == len(models) * one["condition"].nunique()
    assert {label.get_rotation() for label in labels} == {45.0 if turned else 0.0}
    assert turned or not any(one.overlaps(two) for one, two in pairwise(boxes))


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("models", [["gsa"], ["gsa", "canonical"]])
def test_numbers_of_the_map_do_not_overlap(
    digits: Analysis, models: list[str], narrow: bool
) -> None:
    one = headline.table(digits)
    rows = pd.concat(
        [one.assign(model=name, condition=f"{name} " + one["condition"]) for name in models],
        ignore_index=True,
    ).assign(accuracy=0.978)
    with style.report_style(narrow):
        figure = headline.draw(rows, digits)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(rows)
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))


@pytest.mark.parametrize("height", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.3])
def test_names_of_marks_lie_in_the_panel_and_not_over_each_other(
    height: float, apart: float
) -> None:
    with style.report_style():
        figure, ((axes,),) = panels.grid(1, 1, 3.0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        figure.draw_without_rendering()
        places = [(0.6 + apart * i, min(max(height + apart * i / 9, 0), 1)) for i in (-2, -1, 0, 1)]
        marks.name(axes, [(x, y, "C4 + turns, mirrors", "black", 0) for x, y in places])
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in axes.texts]
        dots = [axes.transData.transform(place) for place in places]
        panel = axes.bbox.padded(2)
    assert len(boxes) == 4
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))
    assert not any(box.contains(*dot) for box in boxes for dot in dots)
    assert all(panel.x0 <= box.x0 and box.x1 <= panel.x1 for box in boxes)
    assert all(panel.y0 <= box.y0 and box.y1 <= panel.y1 for box in boxes)


@pytest.mark.parametrize("study", ["glyphs", "digits"])
def test_the_caption_begins_with_the_finding(study: str, request: pytest.FixtureRequest) -> None:
    analysis = request.getfixturevalue(study)
    caption = headline.caption(headline.table(analysis), analysis)
    assert caption.startswith(summary.finding(analysis))


def test_the_data_symmetry_is_that_of_the_data_set_alone(glyphs: Analysis) -> None:
    assert label_symmetry.of(glyphs.study, "of-C1") == LabelSymmetry("C1")
    assert label_symmetry.of(glyphs.study, "of-nothing") is None


def test_matched_parameters_are_no_cost(digits: Analysis) -> None:
    assert "params" not in set(cost.table(digits)["cost"])
    wide = digits.cells.assign(params=digits.cells["params"] * (1 + digits.cells["id"]))
    assert "params" in set(cost.table(replace(digits, cells=wide))["cost"])


def test_overconfidence_is_in_points(digits: Analysis) -> None:
    caption = calibration.caption(calibration.table(digits), digits)
    assert "points on average" in caption


def test_still_rising_compares_the_last_epoch_with_that_a_quarter_before(digits: Analysis) -> None:
    rows = curves.table(digits)
    first = rows["id"] == rows["id"].iloc[0]
    flat = rows.assign(validation_accuracy=0.9)
    # Flat but for the last epoch, which the means of two quarters would dilute below a point.
    flat.loc[first & (rows["epoch"] == 7), "validation_accuracy"] = 0.915
    assert "last quarter of training: 1 of 4 cells" in curves.caption(flat, digits)
    assert "Still rising" not in curves.caption(rows.assign(validation_accuracy=0.9), digits)


def test_the_turn_says_the_worst_angle_and_its_images(digits: Analysis) -> None:
    rows = turn.table(digits).assign(images=450)
    rows.loc[~rows["exact"], "images"] = 64
    with style.report_style():
        figure = turn.draw(rows, digits)
    said = " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))
    assert "quarter turns on 450 and the angles between on 64" in said
    caption = turn.caption(rows, digits)
    worst = rows.loc[rows.groupby(["group", "augment"])["accuracy"].idxmin()]
    for row in (worst.loc[worst["accuracy"].idxmax()], worst.loc[worst["accuracy"].idxmin()]):
        says = f"{formatting.percent(row['accuracy'])} ({row['angle_degrees']:g}°)"
        assert says in caption and row["group"] in caption


def test_the_loss_due_to_asymmetry_is_followed_over_training(digits: Analysis) -> None:
    rows = asymmetry.table(digits)
    last = rows.groupby("group")["asymmetry_share"].last()
    assert last["C4"] == 0 and last["C1"] > 0.5
    assert "C1 relative from 90 % to 51 %" in asymmetry.caption(rows, digits)
    nothing = replace(digits, curves=digits.curves.assign(asymmetry_share=None))
    assert asymmetry.table(nothing).empty


def test_text_of_a_figure_is_text(glyphs: Analysis, tmp_path: Path) -> None:
    from pipeline.report.files.pictures import draw_picture
    from pipeline.report.page.tooltips import Explainer

    picture = draw_picture("headline", glyphs, Explainer(glyphs))
    for document in (picture.document, picture.narrow):
        assert ">of-D<" in document and "<text" in document and ' style="' not in document


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (100.0, 103.9, "at most 100 images"),
        (100.0, 143.0, "at most 100 [at most 100, 140] images"),
    ],
)
def test_a_gap_at_the_end_of_the_sizes_is_a_bound(low: float, high: float, words: str) -> None:
    row = {
        "dataset": "letters", "level": "D4", "reference": "C1 turn", "images": 1000,
        "needed": 100.0, "needed_low": low, "needed_high": high, "fewest": 100, "most": 1000,
    }  # fmt: skip
    analysis: Any = SimpleNamespace(size_gaps=pd.DataFrame([row]))
    ((group, said),) = gaps(analysis, "letters")
    assert group == "D4" and words in said


LONG = "plankton-2023-of-the-baltic-sea"


def test_names_are_not_cut_where_there_is_room(tmp_path: Path) -> None:
    shape = replace(GLYPHS, datasets=("digits", LONG), augments=("none", "turn_mirror"))
    analysis = analyse(load_study(Settings("digits"), write_study(tmp_path, shape)))
    cells = tables.results(analysis)["cell"]
    assert cells.is_unique and not cells.str.contains("…").any()
    with style.report_style():
        moved = transformations.draw(transformations.table(analysis), analysis)
        rows = [text.get_text() for axes in moved.axes for text in axes.get_yticklabels()]
        first = headline.draw(headline.table(analysis), analysis)
        strips = [text.get_text() for text in first.axes[0].get_yticklabels()]
    assert "C4 turn_mirror" in rows and not any("…" in row for row in rows)
    assert any(strip.rpartition("\n")[0].replace("\n", "") == LONG for strip in strips)
