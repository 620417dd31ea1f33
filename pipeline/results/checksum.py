"""The checksum of a table: its names, types, values and provenance."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["content_sha256"]


def _joined(texts: pa.StringArray | pa.BinaryArray) -> memoryview:
    """Return the concatenated bytes, of text in UTF-8, without copying."""
    if not len(texts):
        return memoryview(b"")
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]]


def _without_nulls(column: pa.Array) -> np.ndarray:
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0).cast(column.type))
    return column.to_numpy(zero_copy_only=False)


def content_sha256(table: pa.Table, provenance: bytes) -> str:
    """Hash the names, types, values and provenance of a table.

    Page checksums protect the pages but not the footer, which holds names, types and provenance.
    """
    digest = hashlib.sha256(provenance)
    columns = [(field.name, table[field.name].combine_chunks()) for field in table.schema]
    for name, column in columns:
        if pa.types.is_list(column.type):  # their lengths, then what they hold, as a column
            columns.append((f"{name}.element", column.flatten()))
            column = pc.list_value_length(column)
        digest.update(f"\n{name} {column.type} {len(column)}\n".encode())
        digest.update(np.packbits(pc.is_valid(column).to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            texts = pc.fill_null(column, pa.scalar("").cast(column.type))
            lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
            digest.update(lengths.astype("<i8").tobytes())
            digest.update(_joined(texts))
        else:
            values = _without_nulls(column)
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
