"""What Tune saves of the driver when it begins, while the table of a terminal is drawn."""

from __future__ import annotations

import os
import pty
from pickle import PicklingError
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray import cloudpickle

from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.nodes import NodeWatch
from pipeline.execution.progress import Progress
from pipeline.execution.ray_engine import DriverCallback, DroppingScheduler
from pipeline.execution.ray_tasks import DispatcherSearcher


def test_a_table_on_a_terminal_does_not_keep_tune_from_saving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal, Progress("sweep", {"C1": 1}, 1, terminal) as shown:
        shown.tick()
        assert shown.live is not None
        with pytest.raises((TypeError, PicklingError)):  # it holds the terminal and locks
            cloudpickle.dumps(shown)
        source: Any = SimpleNamespace(progress=shown)
        searcher = DispatcherSearcher(Dispatcher(source, 1, 60.0))
        watch = NodeWatch(1, 0, 60.0, cast(Any, list))
        callback = DriverCallback(searcher, watch, shown.tick)
        assert cloudpickle.dumps([searcher, callback, DroppingScheduler()])
    os.close(leader)
