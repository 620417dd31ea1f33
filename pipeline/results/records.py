"""Write and read the tables of a study as Parquet with provenance and checksums."""

from __future__ import annotations

import io
import json
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.documents import mapping, parse_json
from pipeline.common.errors import UserError
from pipeline.common.files import json_text, write_bytes
from pipeline.results.checksum import content_sha256
from pipeline.results.older_versions import READ_TOO, Same, added_after, completed
from pipeline.results.schemas import SCHEMA_VERSION, STATUSES, key_columns, table_name

__all__ = ["Row", "configured_row", "log_rows", "read", "read_provenance", "write"]

Row = dict[str, Any]

_REPAIR = "move it away and run `dvc repro` to make it again"
_OLDER = "run `dvc repro` to make it again, or read it with the commit that wrote it"
_VERSION, _TABLE, _PROVENANCE, _SHA256 = (
    b"gsa.schema_version",
    b"gsa.table",
    b"gsa.provenance",
    b"gsa.sha256",
)


def configured_row(
    schema: Any, keys: Mapping[str, Any], config: Mapping[str, Any], row: Mapping[str, Any]
) -> Row:
    """Join keys, configuration and measurements into one row of a table of the schema.

    All of the configuration is in one column; settings that have a column are in theirs as well.

    Raises
    ------
    ValueError
        A measurement has no column.
    """
    known = set(schema.names)
    if lost := sorted(row.keys() - known):
        raise ValueError(f"{table_name(schema)}: has no column for {', '.join(lost)}")
    return {
        **{name: value for name, value in config.items() if name in known},
        **row,
        **keys,
        "configuration": json.dumps(config, sort_keys=True),
    }


def log_rows(result: Mapping[str, Any], keys: Row) -> list[Row]:
    """Return the row of the output of a trial or run; no row if it never ran."""
    return [{**keys, "log": result["log"]}] if result.get("log") else []


def write(
    path: Path | str,
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    provenance: Mapping[str, Any],
) -> None:
    """Write a table atomically; the same rows in any order give the same file.

    Missing keys, NaN and infinities become null; ``status`` says why there is no number.

    Raises
    ------
    ValueError
        For a column the schema does not know, a value of the wrong type, a null in a key column,
        or two rows with one key: these are bugs of the caller.
    UserError
        When the disk refuses; an old file is then untouched.
    """
    table = _table(rows, schema)
    text = json_text(dict(provenance)).encode()
    metadata = {
        _VERSION: str(SCHEMA_VERSION).encode(),
        _TABLE: table_name(schema).encode(),
        _PROVENANCE: text,
        _SHA256: content_sha256(table, text).encode(),
    }
    buffer = io.BytesIO()
    # Without Arrow's schema and statistics the footer holds only names, types and our text, so that
    # a reader can refuse a foreign schema before it is interpreted.
    with pq.ParquetWriter(
        buffer,
        table.schema,
        compression="zstd",
        store_schema=False,
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    write_bytes(path, buffer.getvalue())


def read(path: Path | str, schema: pa.Schema) -> pd.DataFrame:
    """Read a table that `write` wrote, with the columns of the schema in their order.

    Raises
    ------
    UserError
        For a file that is missing, damaged, of another schema version, of another table, or that
        was not written by this project. Nothing in a file is ever executed or unpickled.
    """
    table = _read_table(Path(path), schema)
    if table.schema.names != schema.names:  # those of an older version
        table = completed(table, schema, schema.names)
    return table.to_pandas()


def batches(
    path: Path | str, schema: pa.Schema, columns: Sequence[str], rows: int = 256
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a table that `write` wrote, a few rows at a time.

    The rest of the file is not decoded, so pages are checked by their own checksums and the
    checksum of the whole content is not.

    Raises
    ------
    UserError
        As `read` does.
    """
    path = Path(path)
    file = _open(path, mapped=True)
    _checked(file, path, schema)
    try:
        known = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(rows, columns=known, use_threads=False):
            is_whole = batch.schema.names == list(columns)
            yield batch if is_whole else completed(batch, schema, columns)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged(path, "its pages cannot be read") from error


def read_provenance(path: Path | str) -> dict[str, Any]:
    """Return the provenance written into a file, or raise a `UserError` as `read` does."""
    content = _metadata(_open(Path(path)), Path(path))[_PROVENANCE]
    found = mapping(parse_json(content, f"{path}, its provenance", _REPAIR), str(path), _REPAIR)
    ended = found.get("ended", {})
    if not isinstance(ended, dict) or not all(isinstance(why, str) for why in ended.values()):
        raise _damaged(Path(path), "its provenance does not say why cells ended")
    return found


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    name, key = table_name(schema), key_columns(schema)
    unknown = sorted({column for row in rows for column in row} - set(schema.names))
    if unknown:
        raise ValueError(f"{name}: no column {unknown[0]!r}; columns are {', '.join(schema.names)}")
    columns = [_column(rows, field, name) for field in schema]
    table = pa.table(columns, schema=pa.schema(list(schema)))
    for column in key:
        if table[column].null_count:
            raise ValueError(f"{name}: {column} is part of the key and may not be null")
    if table.select(key).group_by(key).aggregate([]).num_rows != len(rows):
        raise ValueError(f"{name}: two rows have the same {', '.join(key)}")
    if "status" in schema.names:
        wrong = sorted(set(table["status"].to_pylist()) - set(STATUSES), key=str)
        if wrong:
            raise ValueError(f"{name}: status {wrong[0]!r} is none of {', '.join(STATUSES)}")
    return table.sort_by([(column, "ascending") for column in key])


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field, table: str) -> pa.Array:
    kind = field.type.value_type if pa.types.is_list(field.type) else field.type
    whole = pa.types.is_integer(kind)
    try:
        values = [_value(row.get(field.name), whole) for row in rows]
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{table}: {field.name} must be {field.type}: {error}") from error


def _value(value: Any, whole: bool) -> Any:
    """Return a plain Python value, None for what is not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    if whole and isinstance(value, (list, np.ndarray)) and np.asarray(value).dtype.kind == "f":
        value = [_value(one, whole) for one in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if whole and not value.is_integer():  # Arrow would truncate it silently
            raise ValueError(f"got {value!r}")
    return value


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    file = _open(path)
    metadata = _checked(file, path, schema)
    try:
        table = file.read(use_threads=False)
        table.validate(full=True)
        whole = content_sha256(table, metadata[_PROVENANCE]).encode() == metadata[_SHA256]
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged(path, "its pages cannot be read") from error
    if not whole:
        raise _damaged(path, "its content does not match its checksum")
    return table


def _checked(file: pq.ParquetFile, path: Path, schema: pa.Schema) -> dict[bytes, bytes]:
    """Return the metadata of a file that holds the table of the schema."""
    metadata = _metadata(file, path)
    found = metadata[_TABLE].decode("utf-8", "replace")
    if found != table_name(schema):
        raise UserError(
            f"{path}: holds the table {found!r}, but {table_name(schema)!r} belongs here"
        )
    stored = file.schema_arrow
    added = added_after(int(metadata[_VERSION]))
    absent = added.keys() - set(stored.names)
    for name in sorted(absent & set(schema.names)):
        value = added[name]
        if isinstance(value, Same) and value.column not in stored.names:
            raise UserError(
                f"{path}: has schema version {int(metadata[_VERSION])} and does not say the "
                f"{name!r} of its rows: {_OLDER}"
            )
    expected = pa.schema([field for field in schema if field.name not in absent])
    missing = [name for name in expected.names if name not in stored.names]
    if missing:
        raise _damaged(path, f"it lacks the column {missing[0]!r}")
    if not stored.equals(expected, check_metadata=False):
        raise _damaged(path, "its columns are not those of its schema version")
    return metadata


def _open(path: Path, mapped: bool = False) -> pq.ParquetFile:
    """Open a file that is safe to open; `mapped` reads no more of it than is asked for."""
    try:
        data: bytes | mmap.mmap = _mapped(path) if mapped else path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file: run `dvc repro` to make it") from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}): allow it, or move it away and run "
            "`dvc repro`"
        ) from error
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise _damaged(path, "it is cut short or no Parquet file")
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    # An Arrow schema can name extension types, whose code would run while it is opened.
    if b"ARROW:schema" in footer:
        raise UserError(
            f"{path}: carries an Arrow schema, which this project never writes and does not open, "
            "because it may name types that run code: run `dvc repro` to make the file again"
        )
    try:
        return pq.ParquetFile(
            pa.BufferReader(pa.py_buffer(data)),
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged(path, "its footer cannot be read") from error


def _mapped(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        # A file of no bytes cannot be mapped.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _metadata(file: pq.ParquetFile, path: Path) -> dict[bytes, bytes]:
    metadata = file.metadata.metadata or {}
    if _VERSION not in metadata:
        raise _damaged(path, "it carries no schema version")
    version = metadata[_VERSION].decode("utf-8", "replace")
    if version not in map(str, (SCHEMA_VERSION, *READ_TOO)):
        raise UserError(
            f"{path}: has schema version {version!r}, but this code reads {str(SCHEMA_VERSION)!r} "
            f"and those from {str(READ_TOO[0])!r} on: {_OLDER}"
        )
    for key in (_TABLE, _PROVENANCE, _SHA256):
        if key not in metadata:
            raise _damaged(path, f"it carries no {key.decode()}")
    return metadata


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: is damaged or was not written by this project ({why}): {_REPAIR}")
