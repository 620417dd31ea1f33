"""Tables with a list a row: predictions come back, and some of their columns are read alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.common.errors import UserError
from pipeline.results import records, schemas

CELL = {
    "study": "s", "dataset": "digits", "cell": "gsa-C4", "model": "gsa", "group": "C4",
    "positional": "none", "depth": 1, "tokens": "stem",
}  # fmt: skip


def row(seed: int, images: int, logits: bool) -> dict[str, Any]:
    numbers = np.arange(images)
    return {
        **CELL, "split": 0, "seed": seed, "condition": "upright", "first_image": 0,
        "prediction": (numbers + 40_000 * (seed == 2)).astype(np.uint16),
        "label_probability": (numbers / 8).astype(np.float16),
        "logits": np.tile(numbers, 2).astype(np.float16) if logits else None,
    }  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [row(3, 0, True), row(1, 5, False), row(2, 7, True)]
    records.write(tmp_path / "predictions.parquet", rows, schemas.PREDICTIONS, {})
    return tmp_path / "predictions.parquet"


def test_lists_come_back(path: Path) -> None:
    frame = records.read(path, schemas.PREDICTIONS)
    assert frame["seed"].tolist() == [1, 2, 3]
    assert frame["prediction"][1].tolist() == [40_000 + i for i in range(7)]
    assert frame["label_probability"][0].tolist() == [0, 0.125, 0.25, 0.375, 0.5]
    assert frame["logits"][0] is None and len(frame["logits"][1]) == 14
    assert frame["prediction"][2].tolist() == []


@pytest.mark.parametrize("rows", [1, 2, 256])
def test_some_columns_are_read_a_few_rows_at_a_time(path: Path, rows: int) -> None:
    found = list(records.batches(path, schemas.PREDICTIONS, ["seed", "prediction"], rows))
    assert found[0].schema.names == ["seed", "prediction"]
    assert [len(values) for part in found for values in part["prediction"].to_pylist()] == [5, 7, 0]


@pytest.mark.parametrize("change", ["value", "length"])
def test_a_changed_list_does_not_match_the_checksum(path: Path, change: str) -> None:
    table, metadata = pq.read_table(path), pq.ParquetFile(path).metadata.metadata
    lists = table["prediction"].to_pylist()
    if change == "value":
        lists[0][0] += 1
    else:  # the same values, divided otherwise
        lists[0], lists[1] = lists[0] + lists[1][:1], lists[1][1:]
    column = pa.array(lists, type=table.schema.field("prediction").type)
    place = table.schema.get_field_index("prediction")
    changed = table.set_column(place, table.schema.field("prediction"), column)
    kept = {key: value for key, value in metadata.items() if key.startswith(b"gsa.")}
    with pq.ParquetWriter(path, changed.schema, store_schema=False) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata(kept)
    with pytest.raises(UserError, match="does not match its checksum"):
        records.read(path, schemas.PREDICTIONS)


@pytest.mark.parametrize("spoil", ["cut", "empty", "flipped", "another table", "missing"])
def test_what_is_damaged_is_refused_by_batches_too(path: Path, spoil: str) -> None:
    content = bytearray(path.read_bytes())
    if spoil == "another table":
        records.write(path, [], schemas.IMAGES, {})
    elif spoil == "missing":
        path.unlink()
    else:
        content[40] ^= 1
        kept = {"cut": content[:-9], "empty": b"", "flipped": content}
        path.write_bytes(kept[spoil])
    with pytest.raises(UserError):
        list(records.batches(path, schemas.PREDICTIONS, schemas.PREDICTIONS.names))


@pytest.mark.parametrize("value", [[1.5], [-1], [70_000], "text", 3])
def test_what_is_no_list_of_classes_is_refused(path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="prediction must be"):
        records.write(path, [row(1, 2, False) | {"prediction": value}], schemas.PREDICTIONS, {})


MISTAKE = {"study": "s", "dataset": "digits", "place": 0, "pixels": b"\x00\xff\x00"}


@pytest.mark.parametrize("pixels", [b"\x00\xff\x00", b"", None])
def test_bytes_come_back_as_they_were(tmp_path: Path, pixels: bytes | None) -> None:
    path = tmp_path / "mistakes.parquet"
    records.write(path, [MISTAKE, MISTAKE | {"place": 1, "pixels": pixels}], schemas.MISTAKES, {})
    assert records.read(path, schemas.MISTAKES)["pixels"].tolist() == [b"\x00\xff\x00", pixels]


@pytest.mark.parametrize("other", [b"\x00\xff\x01", b"\x00\xff", None])
def test_changed_bytes_do_not_match_the_checksum(tmp_path: Path, other: bytes | None) -> None:
    path = tmp_path / "mistakes.parquet"
    records.write(path, [MISTAKE], schemas.MISTAKES, {})
    table, metadata = pq.read_table(path), pq.ParquetFile(path).metadata.metadata
    place = table.schema.get_field_index("pixels")
    changed = table.set_column(place, table.schema.field("pixels"), pa.array([other], pa.binary()))
    with pq.ParquetWriter(path, changed.schema, store_schema=False) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({k: v for k, v in metadata.items() if k.startswith(b"gsa.")})
    with pytest.raises(UserError, match="does not match its checksum"):
        records.read(path, schemas.MISTAKES)
