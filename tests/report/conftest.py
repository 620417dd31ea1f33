"""A reported study whose every name is an attack, with one cell that has no run; and a browser.

Of its figures `make test` draws those that its tests look at, and some that are quick to draw.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from browser import Browser
from payloads import HOSTILE, harm
from report_files import SLOW, only
from sampling import FULL, examples
from synthetic import write_study

from pipeline.report import figures
from pipeline.report.analysis import importance
from pipeline.report.load import Settings
from pipeline.report.stage import build


@pytest.fixture(scope="session", autouse=True)
def few_forests() -> Iterator[None]:
    """Resample trials once, and ten times with `--full`: every time grows a forest."""
    with mock.patch.object(importance, "RESAMPLES", examples(1, importance.RESAMPLES)):
        yield


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds its data and reports; one for all processes that share the tests."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "hostile"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "whole").exists():
            slow = set() if FULL else SLOW
            with only([name for name in figures.names() if name not in slow]):
                build(Settings("digits"), write_study(root, HOSTILE, harm), root / "reports")
            (root / "whole").touch()
    return root


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, for the tests of one file."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
