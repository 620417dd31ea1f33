"""Single figures: axes, labels that do not overlap, marks."""

import fnmatch
import itertools
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from drawn_figures import drawn, overlaps
from matplotlib.figure import Figure
from sampling import FULL
from synthetic import Shape, write_study

from pipeline.report import figures
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.figures import (
    calibration,
    cost,
    differences,
    efficiency,
    effort,
    encodings,
    headline,
    heatmap,
    hierarchy,
    published_comparison,
    search,
    tradeoff,
    transformations,
    turn,
    winner,
)
from pipeline.report.files.pictures import draw_picture
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.page.tooltips import Explainer
from pipeline.report.plotting import style
from pipeline.report.plotting.axes import ErrorScale, round_ticks, with_room

FORTY = Shape(
    groups=("C1", "C2", "C4", "C8", "D4"), encodings=("none", "absolute", "relative", "rotary"),
    depths=(1, 4), seeds=(101,), epochs=2, trials=2,
    failing=("gsa-C8-none-d1-stem", "gsa-D4-rotary-d4-stem"),
)  # fmt: skip


def analysed(root: Path, shape: Shape) -> Analysis:
    return analyse(load_study(Settings("digits"), write_study(root, shape)))


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("forty"), FORTY)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(groups=("C1", "C4"), encodings=("absolute",), depths=(1,), epochs=2)
    return analysed(tmp_path_factory.mktemp("two"), shape)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(datasets=("digits", "mnist"), tokens=("pixel", "stem"), groups=("C1", "C4"),
                  encodings=("absolute", "relative"), depths=(1,), seeds=(101,), epochs=2,
                  trials=1)  # fmt: skip
    return analysed(tmp_path_factory.mktemp("several"), shape)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(datasets=("mnist", "mnist-100"), groups=("C1", "C4"), encodings=("absolute",),
                  depths=(1,), seeds=(101,), epochs=2, train_images={"mnist-100": 100})  # fmt: skip
    return analysed(tmp_path_factory.mktemp("sizes"), shape)


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(groups=("C1", "C4"), encodings=("absolute",), depths=(1,), seeds=(101, 102),
                  epochs=2, trials=2, augments=("none", "turn"),
                  training_images=(100, None))  # fmt: skip
    return analysed(tmp_path_factory.mktemp("augmented"), shape)


def test_cells_of_all_axes_are_named_compared_and_drawn(augmented: Analysis) -> None:
    rest = (" n100", "", " turn n100", " turn")
    labels = [f"{group} absolute{end}" for group in ("C1", "C4") for end in rest]
    assert augmented.cells["label"].tolist() == labels
    assert augmented.cells["baseline"].sum() == 4
    upright = augmented.comparisons.query("measure == 'test_accuracy'")
    assert set(zip(upright["label"], upright["baseline_label"], strict=True)) == {
        (f"C4 absolute{end}", f"C1 absolute{end}") for end in rest
    }
    assert "augment" in set(augmented.effects["axis"])
    every = figures.names() if FULL else ["efficiency", "effects", "headline", "tradeoff", "turn"]
    with style.report_style():
        for module in map(figures.load, every):
            if not (rows := module.table(augmented)).empty:
                assert module.draw(rows, augmented).axes


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("module", "size"),
    [
        *itertools.product([tradeoff, differences, hierarchy, search], ["two", "forty"]),
        *itertools.product([heatmap], ["several", "forty"]),
        *itertools.product([calibration, cost, effort, headline, transformations], ["forty"]),
        *itertools.product([calibration, effort, encodings, headline, transformations], ["two"]),
        *itertools.product([tradeoff, headline, winner], ["several"]),
        *itertools.product([published_comparison, efficiency], ["sizes"]),
    ],
)
def test_no_labels_overlap(module: ModuleType, size: str, request: pytest.FixtureRequest) -> None:
    figure = drawn(module, request.getfixturevalue(size))
    assert overlaps(figure) == []
    edge = figure.bbox
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.y0 >= edge.y0 - 1 and box.x1 <= edge.x1 + 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "module", [tradeoff, cost, turn, headline, differences, calibration, hierarchy]
)
def test_on_a_phone_panels_stand_below_each_other(module: ModuleType, several: Analysis) -> None:
    figure = drawn(module, several, narrow=True)
    assert figure.get_figwidth() == style.NARROW_WIDTH
    shown = [axes.get_position() for axes in figure.axes if axes.get_visible()]
    assert all(a.y0 >= b.y1 for a, b in itertools.pairwise(shown)), "one below the other"
    assert len(shown) == len(figure.axes), "no empty place"
    top = max(box.y1 for box in shown) * figure.bbox.height
    assert all(legend.get_window_extent().y0 >= top - 1 for legend in figure.legends)
    assert overlaps(figure) == []


FIGURE = """
import pandas as pd
from matplotlib.figure import Figure

PART, ORDER, TITLE, ALT = "results", 15, "Seeds", "Nothing."
SOURCES, ABSENT = ("confirm/*/runs.parquet",), "none"


def table(analysis):
    return analysis.cells[["id", "runs"]]


def draw(rows, analysis):
    figure = Figure()
    figure.subplots()
    return figure


def caption(rows, analysis):
    return "Runs a cell."
"""


def test_a_figure_is_one_file(
    two: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeds.py").write_text(FIGURE)
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    order = figures.in_order()
    assert order[:3] == ["headline", "seeds", "tradeoff"]
    picture = draw_picture("seeds", two, Explainer(two))
    assert (picture.title, picture.caption) == ("Seeds", "Runs a cell.")
    assert picture.numbers.startswith("id,runs\n0,3") and picture.document and picture.pixels
    assert 'id="seeds"' in page.page(two, [picture])
    assert '.csv">numbers (CSV)</a> · <a href="' in page.page(two, [picture])
    assert '../data/confirm/digits/runs.parquet">' in page.page(two, [picture])


@pytest.mark.parametrize("name", figures.names())
def test_a_figure_follows_the_contract(name: str, two: Analysis) -> None:
    module = figures.load(name)
    assert module.TITLE and module.ALT.endswith(".") and not module.ABSENT.endswith(".")
    files = [source.path for source in two.study.sources]
    assert module.SOURCES and all(fnmatch.filter(files, pattern) for pattern in module.SOURCES)


def test_orders_are_distinct() -> None:
    orders = [(figures.load(name).PART, figures.load(name).ORDER) for name in figures.names()]
    assert len(set(orders)) == len(orders)


def test_zero_has_its_own_place_on_the_log_axis() -> None:
    scale = ErrorScale([0.0, 2e-7, 0.9])
    places = scale.place([0.0, 2e-7])
    assert scale.has_zero
    assert places[0] < places[1] / 10
    figure = Figure()
    axes = figure.subplots()
    scale.apply(axes, "x")
    figure.draw_without_rendering()
    labels = dict(
        zip(axes.get_xticks(), (t.get_text() for t in axes.get_xticklabels()), strict=True)
    )
    assert labels[places[0]] == "0"
    assert "10⁰" in labels.values()


def test_without_zeros_there_is_no_place_for_them() -> None:
    scale = ErrorScale([2e-7, 0.9])
    assert not scale.has_zero
    assert scale.start < 1e-7 < 1 < scale.end


@pytest.mark.parametrize("ends", [(1.0, 1.3), (29_000.0, 31_000.0), (3e5, 2e8)])
def test_round_ticks_are_few_and_inside(ends: tuple[float, float]) -> None:
    ticks = round_ticks(*ends)
    assert len(ticks) <= 5
    assert all(ends[0] <= tick <= ends[1] for tick in ticks)


@pytest.mark.parametrize(
    ("ticks", "ends", "kept"),
    [
        ([30e9, 50e9, 100e9, 200e9, 300e9], (24e9, 310e9), [30e9, 50e9, 100e9, 200e9]),
        ([5, 6, 8, 10, 15], (4.8, 15.6), [5, 6, 8, 10, 15]),
        ([100, 200, 300, 500, 1000], (80, 1250), [100, 200, 500, 1000]),
        ([], (10, 11), []),
    ],
)
def test_labels_of_ticks_do_not_touch(
    ticks: list[float], ends: tuple[float, float], kept: list[float]
) -> None:
    assert with_room(ticks, *ends) == kept


def test_the_front_is_the_most_accurate_exact_cell(two: Analysis) -> None:
    table = tradeoff.table(two)
    assert table.loc[table["pareto"], "group"].tolist() == ["C4"]


def test_a_full_turn_closes(two: Analysis) -> None:
    rows = turn.table(two)
    angle, value, low, high = turn.closed(rows[rows["group"] == "C4"])
    assert (angle[0], angle[-1]) == (0, 360)
    assert value[0] == value[-1]
    assert np.all(low <= value) and np.all(value <= high)


def test_hierarchy_marks_a_disagreement(two: Analysis) -> None:
    rows = hierarchy.table(two)
    assert rows["agrees"].all()
    wrong = rows.assign(agrees=False).iloc[:1]
    assert "disagree for C1" in hierarchy.caption(wrong, two)


def test_the_winners_curse_is_of_cells_that_were_searched(two: Analysis) -> None:
    cells = two.drawn.copy()
    cells.loc[cells["group"] == "C4", ["trials", "trials_finished"]] = 0  # tuned on another cell
    found = winner.table(replace(two, cells=cells))
    assert set(winner.table(two)["group"]) == {"C1", "C4"} and set(found["group"]) == {"C1"}
