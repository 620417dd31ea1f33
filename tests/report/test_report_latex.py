"""The LaTeX table: whole rows, bold by verdict alone, and a document that compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from payloads import PAYLOADS
from synthetic import Row, Shape, write_study

from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.analysis.verdicts import BETTER
from pipeline.report.files import latex
from pipeline.report.files.tables import RESULTS
from pipeline.report.load import Settings, load_study

LATEX = shutil.which("pdflatex")
SHAPE = Shape(
    datasets=("digits", "m_b & 50 %"), groups=("C1", "C4", "*[2ex]"), encodings=("absolute",),
    depths=(1,), seeds=range(101, 109), trials=1, epochs=1,
    failing=("gsa-*[2ex]-absolute-d1-stem",),
)  # fmt: skip


def worse(tables: dict[str, list[Row]]) -> None:
    """Make C4 worse than the baseline on turned images of the second data set."""
    for row in tables["runs"]:
        if row["group"] == "C4" and row["dataset"] != "digits" and row["status"] == "completed":
            row["test_accuracy_turned"] = 0.1


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    data = write_study(tmp_path_factory.mktemp("latex"), SHAPE, worse)
    return analyse(load_study(Settings("digits"), data))


def rows_of(text: str) -> list[list[str]]:
    """Return the entries of every row between the rules, data sets one below the other."""
    body = text.split("\\midrule\n", 1)[1].split("\\bottomrule")[0].replace("\\midrule\n", "")
    lines = [line.removesuffix(r" \\") for line in body.splitlines()]
    return [re.split(r"(?<!\\) & ", line) for line in lines if "multicolumn" not in line]


def test_a_row_a_cell_below_its_data_set_with_the_columns_of_the_page(analysis: Analysis) -> None:
    text = latex.results(analysis)
    heads = [r"\multicolumn{8}{l}{digits}", r"\multicolumn{8}{l}{m\_b \& 50 \%}"]
    assert [line for line in text.splitlines() if "multicolumn" in line] == [
        rf"{head} \\" for head in heads
    ]
    columns = [
        name.lower() for name in re.findall(r"^Model & (.*) \\\\$", text, re.M)[0].split(" & ")
    ]
    assert columns == [name.lower() for name in RESULTS]
    rows = rows_of(text)
    assert [row[0] for row in rows] == [
        "{C1 absolute}", "{C4 absolute}", "{*{[}2ex{]} absolute}"
    ] * 2  # fmt: skip
    assert {len(row) for row in rows} == {8}
    assert rows[2][4:7] == ["--"] * 3, "no run finished"
    cell = analysis.cells.iloc[0]
    ends = [f"{100 * cell['test_accuracy' + end]:.1f}" for end in ("", "_low", "_high")]
    assert rows[0][4] == f"{ends[0]} {{\\scriptsize [{ends[1]}, {ends[2]}]}}"


def test_the_finding_is_a_comment_of_one_line(analysis: Analysis) -> None:
    first, second, *_ = latex.results(analysis).splitlines()
    assert first.startswith("% ") and "correctly" in first
    assert second == r"% Needs \usepackage{booktabs}."


def test_bold_where_the_verdict_says_better(analysis: Analysis) -> None:
    bold = [["textbf" in entry for entry in row] for row in rows_of(latex.results(analysis))]
    cells, verdicts = analysis.cells, analysis.comparisons.set_index(["id", "measure"])["word"]
    expected = []
    for name in SHAPE.datasets:
        (cell,) = cells["id"][(cells["dataset"] == name) & (cells["group"] == "C4")]
        measures = ("test_accuracy", "test_accuracy_quarter_turned", "test_accuracy_turned")
        expected.append([verdicts[cell, measure] in BETTER for measure in measures])
    assert [bold[1][4:7], bold[4][4:7]] == expected
    assert sum(map(sum, bold)) == 3, "turned by quarters twice, by any angle once"


@pytest.mark.skipif(LATEX is None, reason="needs pdflatex")
def test_it_compiles_with_every_payload(analysis: Analysis, tmp_path: Path) -> None:
    lines = "\n\n".join(f"{{{latex.escape(payload)}}}" for payload in PAYLOADS)
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\tiny\n"
        f"{latex.results(analysis)}\n\n{lines}\n\\end{{document}}\n"
    )
    (tmp_path / "table.tex").write_text(document)
    command = [str(LATEX), "-draftmode", "-no-shell-escape", "-halt-on-error",
               "-interaction=nonstopmode", "table.tex"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passwd" not in re.sub(r"\s", "", done.stdout), "nothing was read"
