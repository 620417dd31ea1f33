"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# The shapes that gsa_core states are checked while its tests run: hooked in before any import.
install_import_hook("gsa_core", "shapes.checked")

# No test may report to anyone, nor fill the terminal with Ray's own tables.
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent
