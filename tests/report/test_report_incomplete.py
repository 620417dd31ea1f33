"""Studies with missing stages, missing numbers and damaged files."""

import shutil
from pathlib import Path

import pytest
from synthetic import Row, Shape, write_study

from pipeline.common.errors import UserError
from pipeline.report import figures
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.files.pictures import draw_picture
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.page.tooltips import Explainer
from pipeline.report.plotting import style
from pipeline.report.stage import build

SMALL = Shape(groups=("C1", "C4"), encodings=("absolute",), depths=(1,), epochs=4)
SETTINGS = Settings("digits")
Tables = dict[str, list[Row]]


ONE_CELL = Shape(groups=("C4",), encodings=("none",), depths=(1,), seeds=(101,), trials=1, epochs=1)


def no_number(tables: Tables) -> None:
    """Every run completed, and nothing that it measured is a number."""
    for row in tables["runs"]:
        row |= {name: None for name in row if "test_" in name or "error" in name}
    for name in ("angles", "layers", "confusion"):
        tables[name].clear()


OF_RUNS = {"confusion", "cost", "curves", "headline", "layers", "tradeoff", "turn"}


def drawn(analysis: Analysis) -> set[str]:
    """Names of the figures that have rows."""
    return {name for name in figures.names() if len(figures.load(name).table(analysis))}


def test_every_figure_of_one_run_can_be_drawn(tmp_path: Path) -> None:
    analysis = analyse(load_study(SETTINGS, write_study(tmp_path, ONE_CELL)))
    found = drawn(analysis)
    assert len(found) > 12
    for module in map(figures.load, found):
        with style.report_style():
            figure = module.draw(module.table(analysis), analysis)
            # Where panels and legends are is nothing here, and takes as long as all the rest.
            figure.set_layout_engine("none")
            figure.draw_without_rendering()
        assert figure.axes


@pytest.mark.parametrize(
    ("lost", "there", "not_there", "said"),
    [
        ((), OF_RUNS | {"hierarchy", "winner"}, {"differences", "search"}, "1 trial"),
        (("sweep",), OF_RUNS | {"hierarchy"}, {"search"}, "sweep/digits/trials.parquet"),
        (("confirm",), {"effort"}, OF_RUNS | {"hierarchy"}, "confirm/digits/runs.parquet"),
        (("confirm/digits",), {"hierarchy"}, OF_RUNS, "no run finished"),
    ],
)
def test_one_cell_with_one_seed_and_missing_stages(
    tmp_path: Path, lost: tuple[str, ...], there: set[str], not_there: set[str], said: str
) -> None:
    data = write_study(tmp_path, ONE_CELL)
    for folder in lost:
        shutil.rmtree(data / folder)
    analysis = analyse(load_study(SETTINGS, data))
    assert said in page.page(analysis, [])
    found = drawn(analysis)
    assert there <= found and not found & not_there


def test_runs_without_a_number_are_no_figure(tmp_path: Path) -> None:
    analysis = analyse(load_study(SETTINGS, write_study(tmp_path, SMALL, no_number)))
    lost = {"tradeoff", "cost", "turn", "headline", "layers", "differences", "heatmap"}
    assert not drawn(analysis) & lost
    pictures = [draw_picture(name, analysis, Explainer(analysis)) for name in sorted(lost)]
    text = page.page(analysis, pictures)
    assert "Not drawn" in text and text.count(": no run finished.</li>") >= 3


@pytest.mark.parametrize(
    "spoil", ["nothing", "cut", "other study", "no rows", "older schema", "not Parquet", "flipped"]
)
def test_what_cannot_be_reported_is_one_sentence(
    tmp_path: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, old = tmp_path / "data", tmp_path / "reports" / "index.html"
    old.parent.mkdir()
    old.write_text("the older report")
    if spoil != "nothing":
        shape = Shape(groups=("C1",), encodings=("none",), depths=(1,))
        empty = spoil == "no rows"
        write_study(tmp_path, shape, (lambda t: [r.clear() for r in t.values()]) if empty else None)
    path = data / "confirm" / "digits" / "runs.parquet"
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if spoil == "not Parquet":
        path.write_bytes(b"seed,accuracy\n101,0.9\n")
    if spoil == "flipped":
        content = bytearray(path.read_bytes())
        content[200] ^= 1
        path.write_bytes(content)
    if spoil == "older schema":
        monkeypatch.setattr("pipeline.results.records.SCHEMA_VERSION", 99)
    settings = Settings("another" if spoil == "other study" else "digits")
    with pytest.raises(UserError) as caught:
        build(settings, data, tmp_path / "reports")
    assert len(caught.value.problems) == 1
    assert "dvc repro" in caught.value.problems[0]
    if spoil == "older schema":
        assert "'99'" in caught.value.problems[0]
    assert [path.name for path in old.parent.iterdir()] == ["index.html"]
    assert old.read_text() == "the older report"
