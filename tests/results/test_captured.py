"""Formats of the past: what this code wrote once is read for good, or refused by its version."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.common.errors import UserError
from pipeline.confirm.result_store import RunStore
from pipeline.report.predictions import read_predictions
from pipeline.results import records, schemas
from pipeline.results.checksum import content_sha256
from pipeline.results.older_versions import READ_TOO
from pipeline.results.schemas import SCHEMA_VERSION
from pipeline.sweep.cell_search import result_of
from pipeline.sweep.journal import open_journal
from pipeline.tools.support.version_results import Results, results_differences

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
@pytest.mark.parametrize("version", READ_TOO)
def test_an_older_table_is_completed(version: int, name: str) -> None:
    schema, count = TABLES[name]
    path = CAPTURED / f"v{version}" / f"{name}.parquet"
    if name == "sweep-epochs" and version < 5:
        with pytest.raises(UserError, match=f"version {version} and does not say the 'augment'"):
            records.read(path, schema)
        return
    found = records.read(path, schema)
    assert len(found) == count and list(found.columns) == schema.names
    if version == 6 or "augment" not in schema.names:
        return
    columns = {"split": 0, "augment": "none", "tuned_on": "digits", "tuned_cell": found["cell"]}
    for column in columns.keys() & set(schema.names):
        assert (found[column] == columns[column]).all(), column
    for column in {"precision", "validation_accuracy_turned"} & set(schema.names):
        assert found[column].isna().all(), column


def test_the_turns_of_older_rows_are_those_of_their_configuration(tmp_path: Path) -> None:
    """Before it was an axis, `augment` was one setting of a study."""
    path = CAPTURED / "v4" / "confirm-runs.parquet"
    table, metadata = pq.read_table(path), pq.read_metadata(path).metadata
    place = table.schema.get_field_index("configuration")
    turned = [text.replace('"none"', '"turn"', 1) for text in table["configuration"].to_pylist()]
    table = table.set_column(place, "configuration", pa.array(turned))
    provenance = metadata[b"gsa.provenance"]
    digest = content_sha256(table, provenance).encode()
    with pq.ParquetWriter(tmp_path / "runs.parquet", table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({**metadata, b"gsa.sha256": digest})
    assert (records.read(tmp_path / "runs.parquet", schemas.RUNS)["augment"] == "turn").all()


@pytest.mark.parametrize("version", READ_TOO)
def test_runs_of_an_older_version_are_compared_with_those_of_now(version: int) -> None:
    runs = [
        records.read(folder / "confirm-runs.parquet", schemas.RUNS)
        for folder in (CAPTURED / f"v{version}", CURRENT)
    ]
    old, new = (Results(f"v{number}", one, {}) for number, one in enumerate(runs))
    lines, conclusion = results_differences(old, new, same_data=True)
    assert not any("cannot be compared" in line for line in lines)
    assert "accurac" in conclusion or "no result changed" in conclusion


@pytest.mark.parametrize("version", [5, 6])
def test_older_predictions_are_those_of_the_prepared_split(version: int) -> None:
    folder = CAPTURED / f"v{version}"
    files = (folder / "confirm-predictions.parquet", folder / "confirm-images.parquet")
    name, found = read_predictions(*files)
    now = read_predictions(*(CURRENT / file.name for file in files))[1]
    assert name == "digits" and found.images is not None
    assert found.correct.keys() == now.correct.keys() and len(found.correct) == 4 * 2
    assert len(list(found.rows("label_probability", "upright"))) == 4


@pytest.mark.parametrize(
    "folder",
    [path for path in OLDER if int(path.name[1:]) not in READ_TOO],
    ids=lambda path: path.name,
)
def test_oldest_tables_are_refused_by_version(folder: Path) -> None:
    for name, (schema, _) in TABLES.items():
        version = folder.name.removeprefix("v")
        with pytest.raises(UserError, match=f"has schema version '{version}'"):
            records.read(folder / f"{name}.parquet", schema)
