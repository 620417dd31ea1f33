"""What travels to a cluster's nodes, and how long a stage waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.execution.nodes import LOOK, SUBMITTED_JOB, NodeWatch, runtime_env
from pipeline.execution.tasks import CannotWork

LARGE = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}
SMALL = {"Alive": True, "Resources": {"CPU": 0.5}}
DEAD = {**LARGE, "Alive": False}


def test_the_two_packages_travel_and_nothing_else(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SUBMITTED_JOB, raising=False)
    sent = runtime_env(tmp_path / "code", {"NAME": "value"})
    assert sent == {"env_vars": {"NAME": "value"}, "working_dir": str(tmp_path / "code")}
    assert {path.name for path in (tmp_path / "code").iterdir()} == {"gsa_core", "pipeline"}
    copied = [path for path in (tmp_path / "code").rglob("*") if path.is_file()]
    assert {path.suffix for path in copied} <= {
        ".py",
        ".css",
        ".js",
        ".jinja",
        ".csv",
        ".typed",
        ".cpp",
        ".h",
        ".yaml",
    }
    for path in copied:
        assert path.read_bytes() == (root / path.relative_to(tmp_path / "code")).read_bytes()


@pytest.mark.parametrize(
    ("job", "there"),
    [
        ('{"runtime_env": {"working_dir": "gcs://_ray_pkg_0.zip"}}', True),
        ('{"runtime_env": {"env_vars": {"A": "1"}}}', False),
        ('{"runtime_env": null}', False),
        ("{}", False),
    ],
)
def test_a_job_that_was_submitted_with_its_folder_has_its_code_there(
    job: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SUBMITTED_JOB, job)
    assert ("working_dir" not in runtime_env(tmp_path / "code", {})) == there
    assert (tmp_path / "code").exists() == (not there)


class Cluster:
    """Nodes that a test sets, and a clock that it turns."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes, self.now = list(nodes), 0.0

    def watch(self) -> NodeWatch:
        return NodeWatch(1, 0, 60, lambda: self.nodes, lambda: self.now)


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
