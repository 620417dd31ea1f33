"""Checks of accuracy leave out groups that have more symmetry than the labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from partial import Partial
from synthetic import PROVENANCE, Row, Shape, write_study

from pipeline.report.analysis.checks import FAILS, HOLDS, NO_DATA, Check


def checks_of(root: Path, symmetry: str | None) -> list[Check]:
    """A study where D4 is at chance, and C4 is not."""

    def change(tables: dict[str, list[Row]]) -> None:
        for run in tables["runs"]:
            accuracy = {"C1": 0.7, "C4": 0.95, "D4": 0.5}[run["group"]]
            for column in ("test_accuracy", "test_accuracy_quarter_turned"):
                run[column] = accuracy + 0.001 * (run["seed"] - 102)

    known = {"data_symmetry": {"labels": symmetry, "classes": 2}} if symmetry else {}
    shape = Shape(encodings=("absolute",), depths=(1,), trials=1, epochs=1,
                  provenance={**PROVENANCE, **known})  # fmt: skip
    return Partial.of(write_study(root, shape, change)).checks


@pytest.mark.parametrize(
    ("symmetry", "outcome", "cells"),
    [("C", HOLDS, "(1 cell)"), ("C2", NO_DATA, "nothing"), (None, FAILS, "(2 cells)")],
)
def test_only_groups_that_fit_the_labels_are_expected_to_win(
    tmp_path: Path, symmetry: str | None, outcome: str, cells: str
) -> None:
    checks = checks_of(tmp_path, symmetry)[-2:]
    assert "quarter-turned images" in checks[0].expected and "upright" in checks[1].expected
    assert checks[0].outcome == outcome
    assert all(cells in check.found for check in checks)
