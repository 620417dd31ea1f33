"""Read, analyse, draw, then write: nothing is written before everything is ready."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.files import replacing_folder, write_bytes
from pipeline.params import load_params
from pipeline.report import latex, markdown, metrics, page, summary, svg, tables
from pipeline.report.analysis import Analysis, analyse
from pipeline.report.explain import Explainer
from pipeline.report.figures import style
from pipeline.report.gallery import Drawn, draw_all
from pipeline.report.load import Settings, load_study

DATA, REPORTS = Path("data"), Path("reports")
PNG_DOTS_PER_INCH = 200


def main() -> None:
    """Write the report of the study in `params.yaml` into `reports/`."""
    params = load_params()
    settings = Settings(
        study=params.study,
        confidence=params.report.confidence,
        baseline=params.report.baseline.model_dump(),
    )
    analysis = build(settings, DATA, REPORTS)
    print(f"Report: {REPORTS / 'index.html'}\nFound:  {summary.sentence(analysis)}")


def build(settings: Settings, data: Path, reports: Path) -> Analysis:
    """Make the whole report from the Parquet files below `data`.

    Raises
    ------
    UserError
        When there is nothing to report or a file cannot be read; an older report stays as it was.
    """
    analysis = analyse(load_study(settings, data))
    write(render(analysis), reports)
    return analysis


def render(analysis: Analysis) -> dict[str, bytes]:
    """Return every file of the report by its path below `reports/`."""
    files: dict[str, bytes] = {}
    documents: dict[str, str] = {}
    explain = Explainer(analysis)
    drawn = draw_all(analysis)
    for item in drawn:
        if item.figure is None:
            continue
        documents[item.name], picture = _pictures(item, explain)
        files[f"figures/{item.name}.svg"] = documents[item.name].encode()
        files[f"figures/{item.name}.png"] = picture
        files[f"tables/{item.name}.csv"] = tables.as_csv(item.table).encode()
    for name, table in tables.all_tables(analysis).items():
        files[f"tables/{name}.csv"] = tables.as_csv(table).encode()
    files["tables/results.tex"] = latex.results(analysis).encode()
    files["metrics.json"] = metrics.as_json(analysis).encode()
    files["report.md"] = markdown.report(analysis, drawn).encode()
    files["index.html"] = page.page(analysis, drawn, documents).encode()
    return files


def _pictures(item: Drawn, explain: Explainer) -> tuple[str, bytes]:
    assert isinstance(item.figure, Figure)
    with style.report_style():
        # Laid out once, then frozen: working it out again for each format takes most of the time.
        item.figure.draw_without_rendering()
        item.figure.set_layout_engine("none")
        vector, pixels = io.StringIO(), io.BytesIO()
        # No dates and no program names: the same rows give the same bytes.
        item.figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        item.figure.savefig(
            pixels, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None}
        )
    return svg.clean(vector.getvalue(), item.name, explain), pixels.getvalue()


def write(files: dict[str, bytes], reports: Path) -> None:
    """Put the files in place, each folder and file at once; nothing of an older report remains."""
    for folder in ("figures", "tables"):
        with replacing_folder(reports / folder) as fresh:
            for name, content in files.items():
                if Path(name).parent.name == folder:
                    (fresh / Path(name).name).write_bytes(content)
    for name, content in files.items():
        if "/" not in name:
            write_bytes(reports / name, content)
