"""What all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from sampling import FULL, sample

# The tensors of tests are too small to share. Read when torch is imported, in children too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A make that runs the tests passes its arguments on to every make that a test starts.
for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "VENV"):
    os.environ.pop(name, None)

# The tests start many processes: they read what was compiled, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# All that collecting makes stays: looking through it for garbage takes a tenth of the time.
gc.disable()

# The shapes that gsa_core states are checked in every test, hooked in before any import. It takes
# thrice the time of small networks; gsa_core/test_running.py does it for networks always.
if FULL:
    install_import_hook("gsa_core", "shapes.checked")

from stages import Stage  # noqa: E402

# No test may report to anyone, nor fill the terminal with Ray's own tables.
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage whose processes are gone when the test is."""
    stage = Stage(tmp_path)
    yield stage
    stage.end()


@pytest.fixture(autouse=True, scope="session")
def flushed() -> Iterator[None]:
    """Let no test wait for the disk: none of them has the loss of power that a flush is for."""
    with pytest.MonkeyPatch.context() as patch:
        if not FULL:
            patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="every test and every fault at its full size"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Iterator[None]:
    """Look for no doctests in the tests and what helps them: importing all of it takes seconds."""
    found = yield
    return [one for one in found if type(one) is pytest.Module]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `deep`, and cases of tests marked `sampled`, to `make test-full`."""
    if config.getoption("--full"):
        return
    left = {item for item in items if item.get_closest_marker("deep")}
    products = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and item not in left:
            products[item.parent, item.originalname].append(item)
    for cases in products.values():
        (count,) = cases[0].get_closest_marker("sampled").args
        left |= set(cases).difference(sample(cases, count))
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of later garbage collections: each is much shorter."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what files took with `--durations`, and the table of faults after a full run."""
    if terminalreporter.config.getoption("durations"):
        _print_seconds_of_files(terminalreporter)
    if terminalreporter.config.getoption("--full"):
        _print_faults(terminalreporter)


def _print_seconds_of_files(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds of the slowest files and of all, over all workers."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section("seconds by file")
    for name, taken in seconds.most_common(40):
        terminalreporter.write_line(f"{taken:7.1f} {name}")
    terminalreporter.write_line(f"{seconds.total():7.1f} all {len(seconds)} files")


def _print_faults(terminalreporter: pytest.TerminalReporter) -> None:
    rows = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            told = [value for name, value in report.user_properties if name == "fault"]
            if report.when == "call":
                rows += [(*row, f"{report.duration:.0f} s") for row in told]
    terminalreporter.section("faults")
    terminalreporter.write_line("| # | done | came of it | took |\n|---|---|---|---:|")
    for row in sorted(rows):
        terminalreporter.write_line(f"| {' | '.join(map(str, row))} |")
    for report in terminalreporter.getreports("failed"):
        terminalreporter.write_line(f"| ? | {report.nodeid} | FAILED | |")
