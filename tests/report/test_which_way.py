"""Which way to symmetry to choose, by the number of training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic import Row, Shape, write_study

from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.choices import FLOPS
from pipeline.report.files import markdown
from pipeline.report.files.pictures import draw_picture
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.page.tooltips import Explainer
from pipeline.report.text import choices
from pipeline.report.text.names import RIVALS, described, way
from pipeline.study.models import MODEL_KINDS

SHAPE = Shape(groups=("C1", "C4"), encodings=("relative",), depths=(1,), augments=("none", "turn"),
              training_images=(100, None), trials=1, epochs=1)  # fmt: skip
QUARTER = "test_accuracy_quarter_turned"
# Of quarter-turned images: what augmentation lacks with few images, it has with many.
TURNED = {100: 0.6, None: 0.99}


def found(tables: dict[str, list[Row]]) -> None:
    """Give augmented networks these accuracies, and all others their own."""
    for run in tables["runs"]:
        run["test_images"] = 2000
        if run["augment"] == "turn":
            run[QUARTER] = TURNED[run["training_images"]] + 0.001 * (run["seed"] - 102)
        elif run["group"] == "C4":
            run[QUARTER] = 0.9 + 0.001 * (run["seed"] - 102)


def analysed(
    folder: Path, shape: Shape, change: Callable[[dict[str, list[Row]]], None] | None = found
) -> Analysis:
    return analyse(load_study(Settings("digits"), write_study(folder, shape, change)))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("choices"), SHAPE)


def test_a_choice_for_each_number_of_training_images(analysis: Analysis) -> None:
    table = choices.table(analysis).set_index("training images")
    assert list(table.index) == ["100 images", "1,078 images"]
    assert table["choose"].to_dict() == {
        "100 images": "Symmetry built in (C4)",
        "1,078 images": "Training on images turned by any angle (C1)",
    }
    why = table.loc["100 images", "because"].split("\n")
    assert why[0] == "Symmetry built in (C4) has 90.0 %."
    assert why[1].startswith("Clearly better than symmetry built in plus training on ")
    assert "training on images turned by any angle (C1, 60.0 %, 0.25 × FLOPs)" in why[1]
    assert why[1].endswith("(C1, 12.6 %, 0.25 × FLOPs).")
    assert table.loc["1,078 images", "because"].split("\n")[1].startswith("Clearly worse than ")
    said = choices.caption(analysis)
    assert "2,000 quarter-turned test images and 3 seeds" in said
    count = analysis.choices["comparisons"].max()
    assert count > 1 and f"corrected for up to {count:.0f} comparisons" in said


def test_verdicts_of_all_images_are_those_of_the_headline(analysis: Analysis) -> None:
    rows = analysis.choices[analysis.choices["images"] == 1078]
    whole = analysis.overview[analysis.overview["test"] == QUARTER]
    columns = ["condition", "word", "difference", "comparisons"]
    pd.testing.assert_frame_equal(
        rows[columns].reset_index(drop=True), whole[columns].reset_index(drop=True)
    )


@pytest.mark.parametrize(
    "shape",
    [
        replace(SHAPE, training_images=(None,)),
        replace(SHAPE, groups=("C1",)),
        replace(SHAPE, groups=("C4",), augments=("none",)),
    ],
    ids=["one number of images", "nothing built in", "no other way"],
)
def test_nothing_to_choose(shape: Shape, tmp_path: Path) -> None:
    analysis = analysed(tmp_path, shape)
    assert analysis.choices.empty and choices.table(analysis).empty
    assert "Which way" not in markdown.report(analysis, [])
    assert 'id="choose"' not in page.page(analysis, [])


def test_data_sets_that_are_one_in_several_sizes(tmp_path: Path) -> None:
    images = {"stars-20": 40, "stars": 600}
    shape = replace(
        SHAPE, datasets=tuple(images), training_images=(None,), train_images=images
    )  # fmt: skip
    table = choices.table(analysed(tmp_path, shape))
    assert list(table["training images"]) == ["40 images", "600 images"]
    assert "data set" not in table


def test_the_choice_is_next_to_the_first_figure(analysis: Analysis) -> None:
    pictures = [draw_picture("headline", analysis, Explainer(analysis))]
    whole = page.page(analysis, pictures)
    results = whole[whole.index('id="headline"') : whole.index('id="table"')]
    assert choices.TITLE in results and "Training on images turned by any angle (C1)" in results
    assert 'href="#choose"' in whole
    text = markdown.report(analysis, pictures)
    assert text.index("## Results") < text.index(choices.TITLE) < text.index("### All cells")


BUILT = {
    "reference": True, "word": None, "group": "D4", "augment": "none", "averaged": False,
    "model": "gsa", "accuracy": 0.95, FLOPS: 8.0,
}  # fmt: skip
TAUGHT = {**BUILT, "reference": False, "group": "C1", "augment": "turn", FLOPS: 1.0}
LEARNED = {**BUILT, "reference": False, "model": "canonical", FLOPS: 3.0}
SAME = "the same within the margin"


@pytest.mark.parametrize(
    ("words", "cost", "chosen"),
    [
        (("clearly better", "better"), 1.0, "Symmetry built in (D4)"),
        (("clearly worse", "worse"), 1.0, "Training on images turned by any angle (C1)"),
        (("better", "worse"), 1.0, "Learned canonicalisation (D4)"),
        (("undecided", "better"), 1.0, "Symmetry built in (D4); or training on images turned by "
         "any angle (C1), not shown to be worse, at 0.12 times the FLOPs"),
        (("undecided", "better"), 8.0, "Symmetry built in (D4)"),
        ((SAME, "better"), 1.0, "Symmetry built in (D4); or training on images turned by any angle "
         "(C1), as good within 1 point, at 0.12 times the FLOPs"),
        (("worse, within the margin", "better"), 1.0, "Symmetry built in (D4); or training on "
         "images turned by any angle (C1), as good within 1 point, at 0.12 times the FLOPs"),
        (("undecided", SAME), 1.0, "Symmetry built in (D4); or learned canonicalisation (D4), as "
         "good within 1 point, at 0.38 times the FLOPs; or training on images turned by any angle "
         "(C1), not shown to be worse, at 0.12 times the FLOPs"),
        ((SAME, "undecided"), 1.0, "Symmetry built in (D4); or training on images turned by any "
         "angle (C1), as good within 1 point, at 0.12 times the FLOPs"),
    ],
)  # fmt: skip
def test_the_choice_follows_from_the_verdicts(
    words: tuple[str, str], cost: float, chosen: str
) -> None:
    """`words` compare the symmetry built in with augmentation and with canonicalisation."""
    rows = [{**TAUGHT, "word": words[0], "accuracy": 0.96, FLOPS: cost},
            {**LEARNED, "word": words[1]}]  # fmt: skip
    built, others = pd.Series(BUILT, dtype=object), pd.DataFrame(rows)
    if words == ("clearly worse", "worse"):
        others["accuracy"] = [0.99, 0.97]
    assert choices.choice(built, others, 0.01) == chosen


def test_every_rival_is_named_as_a_way_and_as_a_network() -> None:
    rivals = {name for name, kind in MODEL_KINDS.items() if kind.rival_of}
    rivals |= {name for name, kind in MODEL_KINDS.items() if "penalty" in kind.needs}
    assert set(RIVALS) == rivals
    for name in rivals:
        assert way("C1", "none", False, name) != way("C1", "none", False)
        assert "without symmetry" not in described("C1", "none", False, name, name)
