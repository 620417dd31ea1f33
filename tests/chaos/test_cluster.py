"""Nodes with their own address, their own /tmp and no copy of the code; killed one, then both."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver_processes import TRIALS, TRIALS_PER_CELL, until
from nodes import ADDRESS, Nodes, permitted
from stages import FAKE, Stage

pytestmark = [
    pytest.mark.deep,
    pytest.mark.ray,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not permitted(), reason="may not make network namespaces"),
]

Witness = Callable[[int, str, str], None]
LONG = 600.0


class Study(Stage):
    """The small study, its driver beside a cluster's head; starts are noted beyond any /tmp."""

    def __init__(self, folder: Path, nodes: Nodes, starts: Path) -> None:
        super().__init__(folder)
        self.nodes, self.path = nodes, starts

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the sweep, as its command does, with RAY_ADDRESS set."""
        more = {**self.nodes.environment, "FAKE_TRIALS": str(TRIALS_PER_CELL), "GSA_ENGINE": "",
                "PYTHONPATH": str(FAKE.parents[2])}  # fmt: skip
        self.started.append(
            subprocess.Popen(
                [*self.nodes.inside(), sys.executable, str(FAKE), "sweep", "fake_trial"],
                cwd=self.folder,
                env={**os.environ, **more},
                start_new_session=True,
                stdout=(self.folder / "out.txt").open("ab"),
                stderr=subprocess.STDOUT,
            )
        )
        return self.started[-1]

    def count(self) -> int:
        """How many trials have been started."""
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """The study and its cluster of a head and two nodes; both are gone after the test."""
    starts = Path(f"/dev/shm/gsa-{secrets.token_hex(4)}")
    nodes = Nodes(tmp_path, {"FAKE_STARTS": str(starts), "FAKE_SECONDS": "0.4"})
    (tmp_path / "study").mkdir()
    study = Study(tmp_path / "study", nodes, starts)
    try:
        nodes.add(2)
        nodes.add(3)
        yield study
    finally:
        study.end()
        nodes.end()
        starts.unlink(missing_ok=True)


def test_a_node_is_killed_then_both(study: Study, witness: Witness) -> None:
    for token in ({"RAY_AUTH_TOKEN": "f" * 32}, {"RAY_AUTH_MODE": "disabled"}):
        refused = subprocess.run(
            [*study.nodes.inside(), "env", *[f"{k}={v}" for k, v in token.items()],
             sys.executable, "-c", "import ray; ray.init(address='" + ADDRESS + "')"],
            capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        assert refused.returncode != 0, "a stranger joined the cluster"
    driver = study.begin()
    until(lambda: study.count() >= 4, LONG, "no trial started")
    study.nodes.kill("node 2")
    at = study.count()
    until(lambda: study.count() >= at + 4, LONG, study.output())
    one_lost = study.count()
    study.nodes.kill("node 3")
    begun = time.monotonic()
    code = driver.wait(120)
    seconds = time.monotonic() - begun
    assert code == 1, study.output()
    assert "no node of the cluster has had 1 CPUs" in study.output()
    assert "what is finished is kept" in study.output()
    study.nodes.add(2)
    study.nodes.add(3)
    assert study.begin().wait(LONG) == 0, study.output()
    trials = study.trials()
    assert len(trials) == TRIALS and (trials["status"] == "completed").all()
    again = study.count() - TRIALS
    assert again <= 2 + 2, "more than was on the nodes ran again"
    assert study.nodes.token not in study.output()
    witness(
        4,
        "two nodes with their own address (network namespaces), own /tmp, no shared file system "
        f"and no code; one killed in the sweep ({one_lost} starts by then), then the other",
        f"the sweep went on on one; with none it ended after {seconds:.0f} s, exit {code}, with "
        f"one sentence; nodes back, same command: {TRIALS} of {TRIALS}, {again} ran again",
    )
