"""Read, analyse, draw, then write: nothing is written before everything is ready."""

from __future__ import annotations

from pathlib import Path

from pipeline.common.files import replacing_folder, write_bytes
from pipeline.common.progress import wrapped
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.files import latex, markdown, metrics, tables
from pipeline.report.files.pictures import make_pictures
from pipeline.report.load import Settings, load_study
from pipeline.report.page import page
from pipeline.report.text import summary
from pipeline.study.schema import Params
from pipeline.study.tuning import choosing, chosen

DATA, REPORTS = Path("data"), Path("reports")


def main(params: Params) -> None:
    """Write the report of the study in `params.yaml` into `reports/`."""
    settings = Settings(
        study=params.study,
        confidence=params.report.confidence,
        margin=params.report.margin,
        chosen=tuple(chosen(params)),
        objective=choosing(params),
        baseline=params.report.baseline.model_dump(exclude_none=True),
    )
    analysis = build(settings, DATA, REPORTS)
    print(wrapped(f"Report: {REPORTS / 'index.html'}\nFound:  {summary.sentence(analysis)}"))


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
    pictures = make_pictures(analysis)
    for picture in pictures:
        if picture.document:
            files[f"figures/{picture.name}.svg"] = picture.document.encode()
            files[f"figures/{picture.name}.png"] = picture.pixels
            files[f"tables/{picture.name}.csv"] = picture.numbers.encode()
    for name, table in tables.all_tables(analysis).items():
        files[f"tables/{name}.csv"] = tables.as_csv(table).encode()
    files["tables/results.tex"] = latex.results(analysis).encode()
    files["metrics.json"] = metrics.as_json(analysis).encode()
    files["report.md"] = markdown.report(analysis, pictures).encode()
    files["index.html"] = page.page(analysis, pictures).encode()
    return files


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
