"""Formats of the past: what this code wrote once is read for good, or refused by its version."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pytest

from pipeline.common.errors import UserError
from pipeline.confirm.result_store import RunStore
from pipeline.report.predictions import read_predictions
from pipeline.results import records, schemas
from pipeline.results.schemas import ADDED, READ_TOO, SCHEMA_VERSION
from pipeline.sweep.cell_search import result_of
from pipeline.sweep.journal import open_journal

CAPTURED = Path(__file__).parents[1] / "captured"
CURRENT = CAPTURED / f"v{SCHEMA_VERSION}"
OLDER = [path for path in sorted(CAPTURED.glob("v*")) if path != CURRENT]
TABLES = {
    "sweep-trials": (schemas.TRIALS, 6),
    "sweep-epochs": (schemas.EPOCHS, 12),
    "confirm-runs": (schemas.RUNS, 4),
    "confirm-hierarchy": (schemas.HIERARCHY, 1),
}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of what was captured, since damage would be set aside beside it."""
    assert CURRENT.is_dir(), (
        "the schema has changed: run `python tests/helpers/capture.py` and commit"
    )
    return Path(shutil.copytree(CURRENT, tmp_path / "kept"))


@pytest.mark.parametrize("name", TABLES)
def test_a_captured_table_is_read(kept: Path, name: str) -> None:
    schema, count = TABLES[name]
    assert len(records.read(kept / f"{name}.parquet", schema)) == count


@pytest.mark.parametrize("folder", [*OLDER, CURRENT], ids=lambda path: path.name)
def test_a_captured_journal_is_read(folder: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copytree(folder, tmp_path / "kept"))
    storage = open_journal(kept / "journal.log")
    results = [
        result_of(trial)["row"]["status"]
        for name in optuna.get_all_study_names(storage)
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]
    assert results == ["completed"] * 6
    assert not list(kept.glob("*.damaged*"))


def test_captured_runs_are_read(kept: Path) -> None:
    keys = [path.stem for path in kept.glob("digits-*-seed*.json")]
    assert len(keys) == 4
    for key in keys:
        value = RunStore(kept).get(key)
        assert value is not None and value["row"]["status"] == "completed" and value["weights"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_version_before_is_completed(name: str) -> None:
    schema, count = TABLES[name]
    found = records.read(CAPTURED / f"v{READ_TOO}" / f"{name}.parquet", schema)
    assert len(found) == count and list(found.columns) == schema.names
    for column in set(ADDED) & set(schema.names):
        same = found[column].isna() if ADDED[column] is None else found[column] == ADDED[column]
        assert same.all()


def test_predictions_of_the_version_before_are_those_of_the_prepared_split() -> None:
    folder = CAPTURED / f"v{READ_TOO}"
    files = (folder / "confirm-predictions.parquet", folder / "confirm-images.parquet")
    name, found = read_predictions(*files)
    now = read_predictions(*(CURRENT / file.name for file in files))[1]
    assert name == "digits" and found.images is not None
    assert found.correct.keys() == now.correct.keys() and len(found.correct) == 4 * 2
    assert len(list(found.rows("label_probability", "upright"))) == 4


@pytest.mark.parametrize(
    "folder", [path for path in OLDER if path.name != f"v{READ_TOO}"], ids=lambda path: path.name
)
def test_older_tables_are_refused_by_version(folder: Path) -> None:
    for name, (schema, _) in TABLES.items():
        version = folder.name.removeprefix("v")
        with pytest.raises(UserError, match=f"has schema version '{version}'"):
            records.read(folder / f"{name}.parquet", schema)
