"""Rows of the tables of sweep and confirm: every measurement has a column, or an error says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.results import schemas
from pipeline.results.records import configured_row

CONFIG = {"channels": 8, "learning_rate": 0.01, "of_a_later_version": 1}


@pytest.mark.parametrize("schema", [schemas.TRIALS, schemas.RUNS], ids=["trials", "runs"])
def test_all_of_the_configuration_is_in_one_column(schema: Any) -> None:
    row = configured_row(schema, {"seed": 1}, CONFIG, {"status": "completed"})
    assert json.loads(row.pop("configuration")) == CONFIG
    assert row == {"channels": 8, "learning_rate": 0.01, "status": "completed", "seed": 1}


@pytest.mark.parametrize("schema", [schemas.TRIALS, schemas.RUNS], ids=["trials", "runs"])
@pytest.mark.parametrize("name", ["test_acuracy", "channel", ""])
def test_a_measurement_without_a_column_is_an_error(schema: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"has no column for {name}$"):
        configured_row(schema, {}, CONFIG, {"status": "completed", name: 0.5})
