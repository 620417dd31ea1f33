"""Make rows of the tables from the results in journals and stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Row", "configured_row", "log_rows"]

Row = dict[str, Any]


def configured_row(
    schema: Any, keys: Mapping[str, Any], config: Mapping[str, Any], row: Mapping[str, Any]
) -> Row:
    """Join keys, configuration and measurements into one row of a table of the schema."""
    known = set(schema.names)
    return {
        **{name: value for name, value in config.items() if name in known},
        **{name: value for name, value in row.items() if name in known},
        **keys,
        "configuration": json.dumps(config, sort_keys=True),
    }


def log_rows(result: Mapping[str, Any], keys: Row) -> list[Row]:
    """Return the row of the output of a trial or run; no row if it never ran."""
    return [{**keys, "log": result["log"]}] if result.get("log") else []
