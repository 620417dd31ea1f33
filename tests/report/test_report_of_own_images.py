"""The report of a reader's own images: what is left out, and what a small test can say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text
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
from pipeline.results.provenance import provenance

SHAPE = Shape(datasets=("cells",), groups=("C1", "C4"), encodings=("relative",), depths=(1,),
              trials=1, epochs=1)  # fmt: skip


def analysed(data: Path) -> Analysis:
    baseline = {"group": "C1", "positional": "relative", "augment": "none"}
    return analyse(load_study(Settings("digits", baseline=baseline), data))


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
