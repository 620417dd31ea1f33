"""Tables of results: what is written comes back, and what is damaged never passes for a value."""

from __future__ import annotations

import errno
import io
import math
import os
import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampling import examples

from pipeline.common import files
from pipeline.common.errors import UserError
from pipeline.results import records, schemas

TABLES = [
    schemas.TRIALS,
    schemas.EPOCHS,
    schemas.RUNS,
    schemas.ANGLES,
    schemas.LAYERS,
    schemas.HIERARCHY,
]
PROVENANCE = {"git_commit": "0" * 40, "git_dirty": False, "data_sha256": None}
by_name = pytest.mark.parametrize("schema", TABLES, ids=schemas.table_name)


def hierarchy_rows(seeds: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "study": "digits", "group": "C4", "positional": "relative", "tokens": "pixel",
            "seed": seed, "transformation": turn, "error": 0.25 * seed, "expected_symmetric": True,
        }
        for seed in range(seeds)
        for turn in ("quarter_turn", "mirror")
    ]  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "hierarchy.parquet"
    records.write(path, hierarchy_rows(), schemas.HIERARCHY, PROVENANCE)
    return path


def values(field: pa.Field) -> st.SearchStrategy[Any]:
    if field.name == "status":
        return st.sampled_from(schemas.STATUSES)
    if pa.types.is_string(field.type):
        return st.text(max_size=8)
    if pa.types.is_integer(field.type):
        return st.integers(-(2**53), 2**53)
    return st.booleans() if pa.types.is_boolean(field.type) else st.floats(allow_subnormal=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Schema, list[dict[str, Any]]]:
    schema = draw(st.sampled_from(TABLES))
    key = schemas.key_columns(schema)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    columns = {
        field.name: (finite if field.name == "angle_degrees" else values(field))
        if field.name in (*key, "status")
        else st.none() | values(field)
        for field in schema
    }
    rows = st.lists(
        st.fixed_dictionaries(columns), max_size=5, unique_by=lambda row: tuple(row[k] for k in key)
    )
    return schema, draw(rows)


def plain(value: Any) -> Any:
    """One spelling for what is missing, whether it was never there, null or not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(max_examples=examples(6, 30), deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(), order=st.randoms(use_true_random=False))
def test_rows_come_back_whatever_their_order(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[pa.Schema, list[dict[str, Any]]],
    order: random.Random,
) -> None:
    schema, rows = table
    folder = tmp_path_factory.mktemp("records")
    records.write(folder / "a.parquet", rows, schema, PROVENANCE)
    frame = records.read(folder / "a.parquet", schema)
    assert list(frame.columns) == schema.names

    def spelled(row: dict[str, Any]) -> list[str]:
        return [repr(plain(float(v) if isinstance(v, int) else v)) for v in row.values()]

    found = [spelled(row) for row in frame.to_dict("records")]
    expected = [spelled({name: row[name] for name in schema.names}) for row in rows]
    assert sorted(found) == sorted(expected)

    shuffled = order.sample(rows, len(rows))
    records.write(folder / "b.parquet", shuffled, schema, PROVENANCE)
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


@by_name
def test_a_table_without_rows_keeps_its_columns(schema: pa.Schema, tmp_path: Path) -> None:
    records.write(tmp_path / "t.parquet", [], schema, PROVENANCE)
    frame = records.read(tmp_path / "t.parquet", schema)
    assert frame.empty and list(frame.columns) == schema.names


def test_a_key_that_is_absent_is_null_and_not_finite_is_null(tmp_path: Path) -> None:
    rows = hierarchy_rows(1)
    rows[0]["error"], rows[1]["error"] = math.nan, np.float32("inf")
    del rows[0]["expected_symmetric"]
    records.write(tmp_path / "t.parquet", rows, schemas.HIERARCHY, PROVENANCE)
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["error"].null_count == 2 and table["expected_symmetric"].null_count == 1


def test_provenance_comes_back(small: Path) -> None:
    assert records.read_provenance(small) == PROVENANCE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"acuracy": 1.0}, "no column 'acuracy'"),
        ({"seed": 0.5}, "seed must be int64"),
        ({"error": "high"}, "error must be double"),
        ({"seed": None}, "seed is part of the key"),
        ({"seed": 0, "transformation": "mirror"}, "two rows have the same"),
    ],
)
def test_a_defective_row_is_refused(change: dict[str, Any], words: str, small: Path) -> None:
    before = small.read_bytes()
    rows = hierarchy_rows()
    rows[-1] |= change
    with pytest.raises(ValueError, match=re.escape(words)):
        records.write(small, rows, schemas.HIERARCHY, PROVENANCE)
    assert small.read_bytes() == before


def test_an_unknown_status_is_refused(tmp_path: Path) -> None:
    row = {name: "x" for name in ("study", "dataset", "cell")} | {"trial": 0, "status": "done"}
    with pytest.raises(ValueError, match="status 'done' is none of completed, stopped"):
        records.write(tmp_path / "t.parquet", [row], schemas.TRIALS, PROVENANCE)


def assert_sentence(error: pytest.ExceptionInfo[UserError], path: Path) -> None:
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: ") and "\n" not in problem


def test_cut_at_every_byte_it_is_refused(small: Path) -> None:
    whole = small.read_bytes()
    for length in range(len(whole)):
        small.write_bytes(whole[:length])
        with pytest.raises(UserError) as error:
            records.read(small, schemas.HIERARCHY)
        assert_sentence(error, small)


def test_a_flipped_bit_is_never_a_wrong_value(small: Path) -> None:
    whole = small.read_bytes()
    frame = records.read(small, schemas.HIERARCHY)
    provenance = records.read_provenance(small)
    generator = random.Random(0)
    refused = 0
    for bit in generator.sample(range(8 * len(whole)), 1_000):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        small.write_bytes(flipped)
        try:
            found = records.read(small, schemas.HIERARCHY)
        except UserError:
            refused += 1
            continue
        # What got through changed no value: a bit of the writer's name or of a spare field.
        pd.testing.assert_frame_equal(found, frame)
        assert records.read_provenance(small) == provenance
    assert refused > 700


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file: run `dvc repro`") as error:
        records.read(tmp_path / "runs.parquet", schemas.RUNS)
    assert_sentence(error, tmp_path / "runs.parquet")


def test_another_table_is_refused(small: Path) -> None:
    with pytest.raises(UserError, match="holds the table 'hierarchy', but 'runs' belongs here"):
        records.read(small, schemas.RUNS)


def test_both_schema_versions_are_named(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"has schema version '{schemas.SCHEMA_VERSION}', but this code reads '99'"
    monkeypatch.setattr(records, "SCHEMA_VERSION", 99)
    with pytest.raises(UserError, match=told):
        records.read(small, schemas.HIERARCHY)


def rewrite(path: Path, table: pa.Table, *, store_schema: bool = False) -> None:
    """Write a table with the metadata of a file of ours, as a careless or hostile hand would."""
    metadata = pq.read_metadata(path).metadata
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, store_schema=store_schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    path.write_bytes(buffer.getvalue())


def test_a_column_that_is_missing_is_named(small: Path) -> None:
    rewrite(small, pq.read_table(small).drop_columns(["error"]))
    with pytest.raises(UserError, match="it lacks the column 'error'"):
        records.read(small, schemas.HIERARCHY)


def test_a_changed_value_does_not_match_the_checksum(small: Path) -> None:
    table = pq.read_table(small)
    error = pa.array([0.125] * len(table))
    rewrite(small, table.set_column(table.schema.get_field_index("error"), "error", error))
    with pytest.raises(UserError, match="does not match its checksum"):
        records.read(small, schemas.HIERARCHY)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.makedirs, ("executed", 0o777, True))


class Pickled(pa.ExtensionType):
    """An extension type as the dangerous ones are: its metadata is a pickle."""

    def __init__(self) -> None:
        super().__init__(pa.float64(), "tests.pickled")

    def __arrow_ext_serialize__(self) -> bytes:
        return pickle.dumps(Bomb())

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Pickled:
        pickle.loads(serialized)
        return cls()


def test_a_pickled_extension_type_is_refused_before_it_is_loaded(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pq.read_table(small)
    index = table.schema.get_field_index("error")
    column = pa.ExtensionArray.from_storage(Pickled(), table["error"].combine_chunks())
    pa.register_extension_type(Pickled())
    try:
        rewrite(small, table.set_column(index, "error", column), store_schema=True)
        with pytest.raises(UserError, match="may name types that run code"):
            records.read(small, schemas.HIERARCHY)
        assert not (tmp_path / "executed").exists()
        pq.read_schema(small)  # the control: a plain reader does run the pickle
        assert (tmp_path / "executed").exists()
    finally:
        pa.unregister_extension_type("tests.pickled")


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    step: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":
        monkeypatch.setattr(files, "open", lambda *a, **k: FullFile(), raising=False)
    else:
        monkeypatch.setattr(files.os, step, full)
    with pytest.raises(UserError, match=r"cannot write [\d,]+ bytes, because the disk is full"):
        records.write(small, hierarchy_rows(9), schemas.HIERARCHY, PROVENANCE)
    monkeypatch.undo()
    assert small.read_bytes() == before
    assert [path.name for path in small.parent.iterdir()] == [small.name]


class FullFile(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")
