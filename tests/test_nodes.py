"""What travels to a cluster's nodes, and how long a stage waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.execution.nodes import LOOK, Watch, luggage
from pipeline.execution.work import CannotWork

LARGE = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}
SMALL = {"Alive": True, "Resources": {"CPU": 0.5}}
DEAD = {**LARGE, "Alive": False}


def test_the_two_packages_travel_and_nothing_else(root: Path) -> None:
    sent = luggage({"NAME": "value"})
    assert sent["py_modules"] == [str(root / "gsa_core"), str(root / "pipeline")]
    assert sent["env_vars"] == {"NAME": "value"}
    assert "working_dir" not in sent, "data, results and state would travel"


class Cluster:
    """Nodes that a test sets, and a clock that it turns."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes, self.now = list(nodes), 0.0

    def watch(self) -> Watch:
        return Watch(1, 0, 60, lambda: self.nodes, lambda: self.now)


@pytest.mark.parametrize("nodes", [[], [DEAD], [SMALL], [DEAD, SMALL]])
def test_a_stage_ends_when_no_node_could_run_a_trial_for_too_long(nodes: list[Any]) -> None:
    cluster = Cluster(*nodes)
    watch = cluster.watch()
    for cluster.now in range(0, 60, 3):
        watch.look()
    cluster.now = 66
    with pytest.raises(CannotWork, match=r"no node of the cluster has had 1 CPUs .* last 60 s"):
        watch.look()


def test_a_node_that_returns_in_time_starts_the_wait_anew() -> None:
    cluster = Cluster()
    watch = cluster.watch()
    for cluster.now in range(0, 300, 3):
        cluster.nodes = [LARGE] if cluster.now % 54 == 0 else [DEAD]
        if cluster.now % 54 == 0:
            cluster.now += LOOK
        watch.look()
