"""What the tests of faults share: how much they do, their processes, and the table of `make chaos`.

In the ordinary suite they do a little of everything; `--full` gives each fault the size that
docs/reliability.md names and prints what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from driver_processes import DriverProcesses, build_faults


@pytest.fixture(scope="session")
def all_of_them(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverProcesses]:
    """The one fork server of a session."""
    yield DriverProcesses(build_faults(tmp_path_factory.mktemp("faults")))


@pytest.fixture
def drivers(all_of_them: DriverProcesses) -> Iterator[DriverProcesses]:
    """A `DriverProcesses` whose processes are gone when the test is."""
    yield all_of_them
    all_of_them.end()


@pytest.fixture
def size(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """Choose how much to do: little in the ordinary suite, all with `--full`."""
    full = pytestconfig.getoption("--full")
    return lambda little, all_of_it: all_of_it if full else little


@pytest.fixture
def witness(record_property: Callable[[str, object], None]) -> Callable[[int, str, str], None]:
    """Enter what was done and what came of it into the table of faults."""
    return lambda fault, done, came: record_property("fault", (fault, done, came))
