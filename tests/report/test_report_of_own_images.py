"""The report of a reader's own images: what is left out, and what a small test can say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text
from partial import Partial
from synthetic import PROVENANCE, Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.confirm.stage import HIERARCHY
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.class_names import class_name
from pipeline.report.figures import confusion, hierarchy, subgroups
from pipeline.report.files import markdown, tables
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.plotting import style
from pipeline.report.text import few_groups, method
from pipeline.report.text.verdict import sentence
from pipeline.results.provenance import provenance

SHAPE = Shape(datasets=("cells",), groups=("C1", "C4"), encodings=("relative",), depths=(1,),
              trials=1, epochs=1)  # fmt: skip


BASELINE = {"group": "C1", "positional": "relative", "augment": "none"}


def analysed(data: Path) -> Analysis:
    return analyse(load_study(Settings("digits", baseline=BASELINE), data))


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A study of images of unknown symmetry."""
    return analysed(write_study(tmp_path_factory.mktemp("cells"), SHAPE))


NAMES = ["a", "b", "c", "d", "e", "f", "eosinophil", "g", "h", "monocyte"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The same, with names of its classes and test images of two slides."""
    known = {"class_names": NAMES}
    shape = replace(SHAPE, provenance={**PROVENANCE, **known})
    data = write_study(tmp_path_factory.mktemp("named"), shape)
    write_predictions(data, ("slide05", "slide06"))
    return analysed(data)


def test_the_figure_of_untrained_networks_says_what_they_are_for(cells: Analysis) -> None:
    said = hierarchy.caption(hierarchy.table(cells), cells)
    assert said.startswith("A check of the architecture, before any training: networks with random")
    assert HIERARCHY == "symmetry of untrained networks", "as the log calls it"


def test_classes_have_the_names_of_the_card(named: Analysis) -> None:
    with style.report_style():
        for module in (confusion, subgroups):
            rows = module.table(named)
            drawn = module.draw(rows, named)
            drawn.draw_without_rendering()
            said = " ".join(text.get_text() for text in drawn.findobj(Text))
            assert "eosinophil" in said and "class 6" not in said
    said = confusion.caption(confusion.table(named), named)
    assert "over all cells and seeds of a group: eosinophil with C1 on cells" in said
    assert "turned: eosinophil as monocyte" in said


SLIDES = tuple(f"slide{i:02d}" for i in range(12))


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "one group of images (slide00): intervals and verdicts are for other images of this "
         "group, and say nothing of other groups."),
        (2, "2 groups of images (slide00 and slide01): intervals and verdicts are for other "
         "images of these 2 groups, and say nothing of other groups."),
        (6, "6 groups of images (slide00, slide01, slide02, slide03 and 2 more): intervals and "
         "verdicts are for all such groups, and wide because there are few of them."),
        (12, ""),
    ],
)  # fmt: skip
def test_the_first_screen_says_that_a_test_has_few_groups(
    tmp_path: Path, count: int, said: str
) -> None:
    data = write_study(tmp_path, SHAPE)
    write_predictions(data, SLIDES[:count])
    analysis = Partial.of(data, baseline=BASELINE)
    assert few_groups.limits(analysis) == (
        [f"The test images of cells come from {said}"] if said else []
    )
    intervals = dict(method.entries(analysis))["Intervals"]
    assert ("other test images of the same kind" in intervals) == (count > 3)
    alone = {1: " of 1 group of images alone", 2: " of 2 groups of images alone"}
    assert few_groups.units(analysis) == alone.get(count, "")


def test_few_groups_are_on_the_first_screen(named: Analysis) -> None:
    (said,) = few_groups.limits(named)
    whole, document = page.page(named, []), markdown.report(named, [])
    assert said in whole[: whole.index("<nav")]
    assert markdown.escape(said) in document[: document.index("## Results")]


def test_too_few_groups_or_no_difference_decide_nothing(named: Analysis, cells: Analysis) -> None:
    verdicts = [*named.comparisons["verdict"], *named.subgroups["verdict"].dropna()]
    assert any("no claim beyond these 2 groups" in one for one in verdicts)
    assert not any("would decide" in one for one in verdicts)
    by_group = named.subgroups[named.subgroups["by"] == "group"]["verdict"].dropna()
    assert by_group.str.contains("; no claim beyond this group").all()
    row = cells.comparisons.iloc[0].copy()
    row["word"], row["images_needed"] = "undecided", 900.0
    assert "900 test images" in sentence(row, 0.01)
    row["difference"] = 0.0001
    assert "undecided: 0.0 points" in sentence(row, 0.01) and "decide" not in sentence(
        row, 0.01).replace("undecided", "")  # fmt: skip


def test_without_names_classes_have_numbers(cells: Analysis) -> None:
    assert class_name(cells.study, "cells", 6) == "6"
    assert ": 6 with C1 on cells" in confusion.caption(confusion.table(cells), cells)


def test_names_of_many_classes_are_not_in_every_file() -> None:
    assert provenance({}, {"class_names": ["cat", "dog"]})["class_names"] == ["cat", "dog"]
    assert "class_names" not in provenance({}, {"class_names": [str(i) for i in range(1000)]})


@pytest.mark.parametrize(("dataset", "numbers"), [("cells", False), ("patch-camelyon", True)])
def test_published_numbers_are_those_of_the_data_of_the_study(
    tmp_path: Path, dataset: str, numbers: bool
) -> None:
    analysis = analysed(write_study(tmp_path, replace(SHAPE, datasets=(dataset,))))
    whole, document = page.page(analysis, []), markdown.report(analysis, [])
    assert ("Published numbers" in whole, "### Published numbers" in document) == (numbers, numbers)
    assert ('href="#published"' in whole, "published" in tables.all_tables(analysis)) == (
        numbers, numbers)  # fmt: skip
    assert "rotMNIST" not in whole + document and ("GE-ViT" in document) == numbers
