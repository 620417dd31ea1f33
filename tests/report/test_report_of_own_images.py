"""The report of a reader's own images: what is left out, and what a small test can say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import Shape, write_study

from pipeline.confirm.stage import HIERARCHY
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.figures import hierarchy
from pipeline.report.files import markdown, tables
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page

SHAPE = Shape(datasets=("cells",), groups=("C1", "C4"), encodings=("relative",), depths=(1,),
              trials=1, epochs=1)  # fmt: skip


def analysed(data: Path) -> Analysis:
    baseline = {"group": "C1", "positional": "relative", "augment": "none"}
    return analyse(load_study(Settings("digits", baseline=baseline), data))


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A study of images of unknown symmetry."""
    return analysed(write_study(tmp_path_factory.mktemp("cells"), SHAPE))


def test_the_figure_of_untrained_networks_says_what_they_are_for(cells: Analysis) -> None:
    said = hierarchy.caption(hierarchy.table(cells), cells)
    assert said.startswith("A check of the architecture, before any training: networks with random")
    assert HIERARCHY == "symmetry of untrained networks", "as the log calls it"


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
