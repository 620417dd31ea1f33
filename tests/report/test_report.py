"""The report as a whole: the files it writes and what it says."""

import html
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import report_files
from report_files import SLOW, only
from sampling import FULL
from synthetic import Row, Shape, write_study

from pipeline.report import figures
from pipeline.report.analysis.analysis import analyse
from pipeline.report.figures import hierarchy, turn
from pipeline.report.files import markdown, metrics, tables
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.plotting import panels
from pipeline.report.stage import build
from pipeline.report.text import provenance as traced
from pipeline.report.text import summary
from pipeline.results.provenance import provenance

SMALL = Shape(groups=("C1", "C4"), encodings=("absolute",), depths=(1,), epochs=4)
SETTINGS = Settings("digits")
Tables = dict[str, list[Row]]


# What the report of two cells draws.
DRAWN = figures.names() if FULL else ["tradeoff", "confusion"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished report of a study of two cells; all of its figures with `--full`."""
    root = tmp_path_factory.mktemp("small")
    with only(DRAWN):
        build(SETTINGS, write_study(root, SMALL), root / "reports")
    return root


def page_of(root: Path) -> str:
    return (root / "reports" / "index.html").read_text()


@pytest.mark.deep
def test_all_figures_of_a_small_study_are_there(small: Path) -> None:
    # One depth and one encoding: nothing to draw against depth.
    assert drawn(small) == {
        "headline", "asymmetry", "tradeoff", "differences", "effects", "turn", "hierarchy",
        "layers", "cost", "curves", "search", "winner", "confusion", "transformations",
        "calibration", "features", "encodings", "effort", "mistakes",
    }  # fmt: skip


def drawn(root: Path) -> set[str]:
    return {path.stem for path in (root / "reports" / "figures").iterdir()}


def test_everything_promised_is_there(hostile: Path) -> None:
    reports = hostile / "reports"
    names = {str(path.relative_to(reports)) for path in reports.rglob("*") if path.is_file()}
    assert {
        "index.html",
        "report.md",
        "metrics.json",
        "tables/cells.csv",
        "tables/rivals.csv",
    } <= names
    # Of one data set of one size, without kept predictions, and of groups that nobody knows.
    missing = set(figures.names()) - drawn(hostile) - (set() if FULL else SLOW)
    assert missing == {"datasets", "efficiency", "features", "published_comparison", "subgroups"}
    for figure in drawn(hostile):
        assert {f"figures/{figure}.svg", f"figures/{figure}.png", f"tables/{figure}.csv"} <= names
    assert not [name for name in names if ".tmp" in name]


def test_the_document_has_the_headings_of_the_page_in_their_order(small: Path) -> None:
    heads = [html.unescape(one) for one in re.findall(r"<h[23] id=[^>]*>(.*?)</h", page_of(small))]
    document = (small / "reports" / "report.md").read_text().replace("\\", "")
    assert re.findall(r"^##+ (.*)$", document, re.M) == heads
    assert document.index("points [") < document.index("## Results"), "three numbers first"


def test_without_logits_the_page_says_why_there_is_no_ensemble(small: Path) -> None:
    for name in ("index.html", "report.md"):
        text = (small / "reports" / name).read_text()
        assert "logits were not kept" in text[text.index("Deep ensembles<" if name[0] == "i" else
                                              "### Deep ensembles"):]  # fmt: skip


def test_metrics_are_the_means_of_the_rows(small: Path) -> None:
    metrics = json.loads((small / "reports" / "metrics.json").read_text())
    runs = pd.read_parquet(small / "data" / "confirm" / "digits" / "runs.parquet")
    for group in ("C1", "C4"):
        mine = runs[runs["group"] == group]
        cell = metrics["cells"][group]["absolute"]
        assert cell["accuracy_upright"] == pytest.approx(mine["test_accuracy"].mean(), rel=1e-5)
        errors = mine["invariance_error"]
        geometric = math.exp(sum(math.log(e) for e in errors) / len(errors))
        assert cell["invariance_error"] == pytest.approx(geometric, rel=1e-5)
        assert cell["runs"] == 3
    assert "\n" not in metrics["summary"]
    assert sum(metrics["verdicts"]["cells"].values()) == 3
    effect = metrics["verdicts"]["effects"]["C4 for C1"]["quarter-turned"]
    assert effect["verdict"] == "clearly better" and effect["difference"] > 0.8
    assert metrics["summary"].startswith(
        "On quarter-turned test images of digits, a network with quarter turns built in (C4)"
    )


def test_page_fetches_nothing_and_styles_nothing_inline(small: Path) -> None:
    page = page_of(small)
    assert "default-src 'none'" in page
    assert ' style="' not in page
    assert 'src="' not in page.replace("default-src", "")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert len(page) < 5_000_000


@pytest.mark.parametrize(
    "name",
    [
        "confusion", "effects", "turn", "calibration",
        *(pytest.param(name, marks=pytest.mark.deep) for name in ("hierarchy", "transformations")),
    ],
)  # fmt: skip
def test_marks_of_several_cells_say_which(hostile: Path, name: str) -> None:
    document = (hostile / "reports" / "figures" / f"{name}.svg").read_text()
    found = {tuple(ids.split()) for ids in re.findall(r'data-cells="([\d ]+)"', document)}
    cells = pd.read_csv(hostile / "reports" / "tables" / "cells.csv")
    known = {str(number) for number in range(len(cells))}
    assert found and all(set(ids) < known for ids in found), f"{found} of {known}"


def test_same_rows_give_the_same_bytes_in_another_process(small: Path) -> None:
    """All files, with some of the figures; `--full` draws all of them."""
    # Another hash seed: the order of a set must not reach the report.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, report_files.__file__, str(small / "data"), *DRAWN]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    reports = small / "reports"
    written = [path for path in reports.rglob("*") if path.is_file()]
    files = {str(path.relative_to(reports)): path.read_bytes() for path in written}
    assert len(files) > 15 and json.loads(done.stdout) == report_files.checksums(files)


def test_all_failed_is_a_page_that_says_so_and_nothing_of_an_older_report(tmp_path: Path) -> None:
    stale = tmp_path / "reports" / "figures" / "stale.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    shape = Shape(groups=("C1",), encodings=("none",), depths=(1,), reason="OSError: <b>boom</b>",
                  failing=("gsa-C1-none-d1-stem",))  # fmt: skip
    with only(figures.names()):
        build(SETTINGS, write_study(tmp_path, shape), tmp_path / "reports")
    page = page_of(tmp_path)
    assert "no run finished" in page
    assert "OSError: &lt;b&gt;boom&lt;/b&gt;" in page
    # The hierarchy needs no run; nothing else may be drawn.
    assert drawn(tmp_path) == {"hierarchy", "effort"}


def analysis_of(root: Path, shape: Shape, change: object = None, **settings: object):
    data = write_study(root, shape, change)  # type: ignore[arg-type]
    return analyse(load_study(Settings("digits", **settings), data))  # type: ignore[arg-type]


def test_one_seed_has_no_interval_and_the_report_says_so(tmp_path: Path) -> None:
    shape = Shape(groups=("C1", "C4"), encodings=("absolute",), depths=(1,), seeds=(101,))
    analysis = analysis_of(tmp_path, shape)
    assert analysis.cells["test_accuracy_low"].isna().all()
    assert "1 seed, 450 test images; of these trained networks alone" in markdown.report(
        analysis, []
    )
    assert "One seed a cell" in " ".join(panels.seed_notes(analysis.cells, 0.95))


def test_an_error_above_rounding_fails_the_check(tmp_path: Path) -> None:
    def break_one(tables: Tables) -> None:
        run = next(row for row in tables["runs"] if row["group"] == "C4")
        run["invariance_error"] = 1e-3

    analysis = analysis_of(tmp_path, SMALL, break_one)
    first = analysis.checks[0]
    assert first.outcome == "fails"
    assert "1 of 1 are larger: C4 absolute (1e-3)" in first.found
    assert "Attention" in summary.sentence(analysis)


def test_failed_and_diverged_runs_are_in_no_mean(tmp_path: Path) -> None:
    def spoil(tables: Tables) -> None:
        first, second = (
            row for row in tables["runs"] if row["group"] == "C4" and row["seed"] < 103
        )
        first |= {"status": "diverged", "reason": "loss is not finite", "test_accuracy": 0.0}
        second["test_accuracy"] = math.nan

    analysis = analysis_of(tmp_path, SMALL, spoil)
    cell = analysis.cells[analysis.cells["group"] == "C4"].iloc[0]
    assert (cell["runs"], cell["runs_finished"], cell["test_accuracy_n"]) == (3, 2, 1)
    assert cell["test_accuracy"] > 0.9
    failures = tables.failures(analysis)
    assert failures[["cell", "stage", "status", "count"]].to_numpy().tolist() == [
        ["C4 absolute", "confirm", "diverged", 1]
    ]


def test_without_the_baseline_nothing_is_compared(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, SMALL, baseline={"group": "C2", "positional": "none"})
    assert analysis.comparisons.empty
    assert "No comparison" in markdown.report(analysis, [])
    assert "No comparison" in page.page(analysis, [])


def test_absent_tables_are_named_on_the_page(tmp_path: Path) -> None:
    data = write_study(tmp_path, SMALL)
    (data / "confirm" / "hierarchy.parquet").unlink()
    (data / "confirm" / "digits" / "angles.parquet").unlink()
    analysis = analyse(load_study(SETTINGS, data))
    assert analysis.study.absent == ["confirm/digits/angles.parquet", "confirm/hierarchy.parquet"]
    assert "confirm/hierarchy.parquet" in page.page(analysis, [])
    assert hierarchy.table(analysis).empty
    assert turn.table(analysis).empty


def test_uncommitted_changes_are_marked(tmp_path: Path) -> None:
    shape = Shape(groups=("C1",), encodings=("none",), depths=(1,))
    shape.provenance["git_dirty"] = True
    analysis = analysis_of(tmp_path, shape)
    assert "uncommitted changes" in traced.warnings(analysis)[0]
    assert "uncommitted" in traced.commit(analysis)


def test_what_was_left_out_of_the_data_is_warned_of_once(tmp_path: Path) -> None:
    card = {
        "notes": ["the class fish has no image that can be read (it is empty)"],
        "classes_left_out": {"fish": 0, "cow": 3},
        "skipped": {"count": 2},
    }
    notes = provenance({}, card)["data_notes"]
    assert "data_notes" not in provenance({}, {"classes_left_out": {}, "skipped": {"count": 0}})
    shape = replace(SMALL, provenance={**SMALL.provenance, "data_notes": notes})
    analysis = analyse(load_study(SETTINGS, write_study(tmp_path, shape)))
    warned = [line for line in traced.warnings(analysis) if line.startswith("digits: ")]
    assert warned == [
        "digits: the class fish has no image that can be read (it is empty).",
        "digits: the class cow (3 images) is left out, being below min_count.",
        "digits: bad images left out: 2.",
    ]
    assert warned[0] in page.page(analysis, []) and "data_notes" not in set(
        traced.table(analysis).what
    )


def test_a_search_that_ended_early_says_why_and_stopped_trials_are_no_failures(
    tmp_path: Path,
) -> None:
    def stop_one(rows: Tables) -> None:
        rows["trials"][1].update(status="stopped", reason="below the best of earlier trials")

    why = "no improvement in 12 trials"
    provenance = {**SMALL.provenance, "ended": {"gsa-C4-absolute-d1-stem": why}}
    data = write_study(tmp_path, replace(SMALL, provenance=provenance), stop_one)
    analysis = analyse(load_study(SETTINGS, data))
    warned = [line for line in traced.warnings(analysis) if why in line]
    assert warned and warned[0].startswith("The search of ")
    assert list(metrics.metrics(analysis)["study"]["search_ended"]) == [why]
    assert tables.failures(analysis).empty
    assert tables.status_counts(analysis)["trials stopped"].sum() == 1
