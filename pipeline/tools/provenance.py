"""Print which code, parameters and data a figure, a run or a trial comes from."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.failures import GOOD, brief, command, harmless
from pipeline.common.spelling import did_you_mean
from pipeline.report import figures
from pipeline.results import records, schemas

__all__ = ["main", "trace"]

ARGUMENTS = {
    "what": {"metavar": "FIGURE | CELL-seedN | CELL-trialN", "help": "such as tradeoff"},
}
DATA = Path("data")
RUNS, TRIALS = "confirm/*/runs.parquet", "sweep/*/trials.parquet"
ROW = re.compile(r"(?:(?P<dataset>[^/]+)/)?(?P<cell>[^/]+)-(?P<kind>seed|trial)(?P<number>\d+)")
HOW = "a figure (tradeoff), a run (CELL-seed101) or a trial (CELL-trial0)"


def main(given: Namespace) -> None:
    """Print where a figure or row came from."""
    print("\n".join(trace(given.what)))


def trace(what: str) -> Iterator[str]:
    """Yield lines that lead from a figure, run or trial back to what it was made from.

    Raises
    ------
    UserError
        For a name that is no figure and no row.
    """
    name = re.sub(r"\.(svg|png|csv|safetensors)$", "", Path(what).name)
    if name in figures.names():
        yield from _figure(name)
        return
    dataset = Path(what).parent.name if what.count("/") == 1 else ""
    match = ROW.fullmatch(f"{dataset}/{name}" if dataset else name)
    if match is None:
        guess = did_you_mean(name, figures.names())
        raise UserError(f"{what!r} is neither a figure nor a row{guess}: give {HOW}")
    yield from _row(match["dataset"], match["cell"], match["kind"], int(match["number"]))


def _figure(name: str) -> Iterator[str]:
    yield f"reports/figures/{name}.svg, drawn by pipeline/report/figures/{name}.py"
    yield f"its numbers: reports/tables/{name}.csv; its rows:"
    files = [path for pattern in figures.load(name).SOURCES for path in sorted(DATA.glob(pattern))]
    if not files:
        raise UserError(f"{DATA} holds no rows of {name}: run `dvc repro`, or `dvc pull`")
    for path in files:
        yield from _file(path)


def _row(dataset: str | None, cell: str, kind: str, number: int) -> Iterator[str]:
    _check_there(RUNS if kind == "seed" else TRIALS)
    pattern, schema, column = (
        (RUNS, schemas.RUNS, "seed") if kind == "seed" else (TRIALS, schemas.TRIALS, "trial")
    )
    found = False
    for path in sorted(DATA.glob(pattern)):
        frame = records.read(path, schema)
        mine = frame[(frame["cell"] == cell) & (frame[column] == number)]
        if dataset is not None:
            mine = mine[mine["dataset"] == dataset]
        for _, row in mine.iterrows():
            found = True
            yield f"{row['dataset']}/{cell}, {column} {number}: {_outcome(row, kind)}"
            yield from _file(path)
            if kind == "seed":
                trial = f"{row['dataset']}/{cell}-trial{row['trial']}"
                yield f"  its configuration won the search as {trial}"
                yield f"  weights: {row['weights'] or 'none'}"
            yield f"  configuration: {row['configuration']}"
    if not found:
        raise UserError(
            f"no {'run' if kind == 'seed' else 'trial'} {number} of the cell {cell!r} in "
            f"{DATA}/{pattern}: `reports/tables/cells.csv` lists the cells"
        )


def _check_there(pattern: str) -> None:
    if not any(DATA.glob(pattern)):
        raise UserError(f"{DATA}/{pattern}: not there; run `dvc repro`, or `dvc pull`")


def _outcome(row: pd.Series, kind: str) -> str:
    score, status = row["validation_accuracy"], str(row["status"])
    if status not in GOOD:
        number = f"--number {row['trial']}" if kind == "trial" else f"--seed {row['seed']}"
        whole = command(row["dataset"], row["cell"], number)
        return harmless(f"{status}: {brief(row['reason'])}; the whole: {whole}")
    return status + ("" if pd.isna(score) else f", validation accuracy {score:.4f}")


def _file(path: Path) -> Iterator[str]:
    origin = records.read_provenance(path)
    dirty = " with uncommitted changes" if origin.get("git_dirty") else ""
    yield f"  {path.as_posix()}"
    yield f"    commit {origin.get('git_commit') or 'unknown'}{dirty}"
    yield f"    parameters sha256 {_text(origin.get('params_sha256'))}"
    yield f"    data sha256 {_text(origin.get('data_sha256'))}"
    rest = {
        key: value for key, value in origin.items()
        if key not in ("git_commit", "git_dirty", "params_sha256", "data_sha256")
    }  # fmt: skip
    yield "    " + ", ".join(f"{key} {_text(value)}" for key, value in rest.items())


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
