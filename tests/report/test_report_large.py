"""The figures of a study of many cells on several data sets: legible, of a height, few words."""

from __future__ import annotations

from types import ModuleType

import pytest
from drawn_figures import drawn, overlaps
from synthetic import Row, Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.figures import (
    calibration,
    confusion,
    cost,
    differences,
    effects,
    effort,
    heatmap,
    importance,
    subgroups,
    transformations,
    turn,
    winner,
)
from pipeline.report.load import Settings, load_study
from pipeline.report.plotting import forest, marks, panels, style

LONG_CAPTION = 1000  # letters
HIGHEST = 22.0  # inches, of a figure 7.2 inches wide
SHAPE = Shape(
    datasets=("digits", "glyphs-hand", "glyphs-pose", "glyphs-shape"),
    groups=("C1", "C4", "D4"), depths=(1, 2), encodings=("absolute", "relative"),
    trials=1, seeds=(1,), epochs=1,
)  # fmt: skip


def with_augmentation(tables: dict[str, list[Row]]) -> None:
    """Give the second depth the meaning of an augmentation."""
    for rows in tables.values():
        for row in rows:
            if row.get("depth") == 2:
                row |= {"depth": 1, "augment": "turn", "cell": row["cell"] + "-turn"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    data = write_study(tmp_path_factory.mktemp("large"), SHAPE, with_augmentation)
    write_predictions(data, every=5)
    return analyse(load_study(Settings("digits"), data))


@pytest.mark.parametrize(
    "module", [calibration, confusion, cost, effects, importance, subgroups, turn]
)
def test_captions_of_many_panels_stay_short(module: ModuleType, large: Analysis) -> None:
    assert len(module.caption(module.table(large), large)) < LONG_CAPTION


@pytest.mark.parametrize(
    "module",
    [
        calibration,
        confusion,
        cost,
        heatmap,
        subgroups,
        pytest.param(transformations, marks=pytest.mark.deep),
    ],
)
def test_figures_of_many_cells_fit(module: ModuleType, large: Analysis) -> None:
    figure = drawn(module, large)
    assert figure.get_figheight() < HIGHEST
    assert overlaps(figure) == []


@pytest.mark.parametrize("module", [differences, effort, winner])
def test_a_figure_shows_the_foremost_cells_and_says_so(
    module: ModuleType, large: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "MOST_ROWS", forest.MANY_ROWS + 6)
    figure = drawn(module, large)
    assert figure.get_figheight() < HIGHEST
    assert overlaps(figure) == []
    assert len(figure.axes[0].get_yticks()) == forest.MOST_ROWS
    assert figure._supxlabel.get_text().startswith(f"Drawn: the {forest.MOST_ROWS} of ")
    assert all(axes.xaxis.get_tick_params()["labeltop"] for axes in figure.axes)


@pytest.mark.deep
def test_names_are_whole_on_a_phone(large: Analysis) -> None:
    for module in (effects, effort):
        figure = drawn(module, large, narrow=True)
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert not any("…" in name or "..." in name for name in names)
        assert overlaps(figure) == []


@pytest.mark.deep
def test_rows_of_all_maps_are_equally_high(large: Analysis) -> None:
    """Panels of few rows must not be stretched to the height of those of many."""
    rows = transformations.table(large)
    one = (rows["dataset"] == "digits") & (rows["group"] != "C4")
    with style.report_style():
        figure = transformations.draw(rows[~one], large)
        figure.draw_without_rendering()
    heights = [axes.bbox.height / axes.get_ylim()[0] for axes in figure.axes]
    assert max(heights) < 1.1 * min(heights)


def test_of_many_confusion_matrices_two_groups_of_each_data_set(large: Analysis) -> None:
    figure = drawn(confusion, large)
    assert len(figure.axes) == 2 * 2 * len(SHAPE.datasets)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert all(f"{name}, C1: upright" in titles for name in SHAPE.datasets)
    assert confusion.FEW.split(",")[0] in figure._supxlabel.get_text()
    assert set(confusion.table(large)["group"]) == set(SHAPE.groups), "all are in the CSV"


def test_names_of_marks_lie_beside_lines() -> None:
    with style.report_style():
        figure, ((axes,),) = panels.grid(1, 1, 3.0)
        axes.plot([0, 1], [0.5, 0.5])
        axes.plot([0.6, 0.6], [0, 1])
        figure.draw_without_rendering()
        marks.name(axes, [(0.55, 0.5, "canonical", "black", 0)])
        box = axes.texts[0].get_window_extent()
    x, y = axes.transData.transform((0.6, 0.5))
    assert not box.y0 < y < box.y1 and not box.x0 < x < box.x1
