"""Fixtures of the tests of the sweep."""

from __future__ import annotations

from pathlib import Path

import fake_study
import pytest

from pipeline.confirm import stage as confirm
from pipeline.sweep import stage as sweep


@pytest.fixture
def fake_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty project folder whose data set is a fake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "provenance", lambda params, card: {})
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
