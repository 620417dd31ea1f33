"""Every column of every table says what it holds."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.results import schemas
from pipeline.results.columns import description

TABLES = [schema for schema in vars(schemas).values() if isinstance(schema, pa.Schema)]


@pytest.mark.parametrize("schema", TABLES, ids=schemas.table_name)
def test_every_column_has_a_description(schema: pa.Schema) -> None:
    for column in schema.names:
        assert description(schemas.table_name(schema), column).endswith(".")


def test_a_column_that_nobody_described_is_an_error() -> None:
    with pytest.raises(KeyError):
        description("runs", "no_such_column")
