"""`workers: auto` is what there is room for, and a number that wastes a cluster is said aloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.common.errors import UserError
from pipeline.execution import parallel_trials as slots
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.parallel_trials import AHEAD, idle, room, room_here, with_workers
from pipeline.execution.progress import Progress
from pipeline.study.params import load_params
from pipeline.study.schema import Params


def node(cpus: float = 0, gpus: float = 0, memory: float = 0) -> dict[str, Any]:
    return {"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus, "memory": memory}}


@pytest.mark.parametrize(
    "nodes, each, count",
    [
        ([], (1, 0, 0), 0),
        ([node(4)], (1, 0, 0), 4),
        ([node(4, 1), node(4)], (1, 1, 0), 1),
        ([node(8, 2)], (1, 0.1, 0), 8),
        ([node(8, 3)], (1, 0.1, 0), 8),
        ([node(64, 1)], (1, 1 / 3, 0), 3),
        ([node(3)] * 4, (2, 0, 0), 4),
        ([node(8, 0, 5e9)], (1, 0, 2e9), 2),
        ([node(0.5)], (1, 0, 0), 0),
        ([node(4, 8)] * 4, (0.5, 1, 0), 32),
    ],
)
def test_room_is_counted_on_each_node(
    nodes: list[Any], each: tuple[float, float, float], count: int
) -> None:
    assert room(nodes, *each) == count


@pytest.mark.parametrize("cores, cpus, count", [(2, 1, 2), (8, 3, 2), (1, 4, 1), (2, 0.5, 4)])
def test_this_machine_has_room_by_cores(
    cores: int, cpus: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(slots.os, "sysconf", lambda name: 4096 if "SIZE" in name else 10**8)
    assert room_here(cpus) == count


def test_this_machine_has_room_by_memory_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(slots.os, "sysconf", lambda name: 4096 if "SIZE" in name else 10**6)
    assert room_here(1) == 4, "a gigabyte a trial where nothing is said"
    assert room_here(1, memory=2e9) == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert room_here(1, 0.5, 1e8) == 4


def study(workers: int | str) -> Params:
    values = fake_study.study().model_dump(exclude_unset=True)
    return Params.model_validate(
        {**values, "resources": {**values["resources"], "workers": workers}}
    )


@pytest.mark.parametrize(
    "address, engine, wanted",
    [(None, None, 7), ("", None, 7), ("10.0.0.7:1", None, "auto"), ("10.0.0.7:1", "in-process", 1)],
)
def test_auto_is_a_number_here_and_asked_of_a_cluster(
    address: str | None, engine: str | None, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RAY_ADDRESS", address), ("GSA_ENGINE", engine)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(slots, "room_here", lambda *_: 7)
    assert with_workers(study("auto").resources).workers == wanted
    in_process = engine == "in-process"
    assert with_workers(study(3).resources).workers == (1 if in_process else 3)
    assert slots.parallel_here(study("auto")) == (1 if in_process else 7)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "all", "Auto", True, None])
def test_other_words_are_refused(workers: Any, root: Path, tmp_path: Path) -> None:
    text = (root / "params.yaml").read_text().replace("workers: auto", f"workers: {workers}")
    (tmp_path / "params.yaml").write_text(text.replace("None", "null"))
    with pytest.raises(UserError, match=r"resources\.workers: got .*accepts auto or a whole"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("path", ["params.yaml", *(f"studies/{name}.yaml" for name in (
    "digits", "cifar10", "rotated-mnist"))])  # fmt: skip
def test_auto_is_what_studies_say(path: str, root: Path) -> None:
    assert load_params(root / path).resources.workers == "auto"


@pytest.mark.parametrize("workers, there, said", [(2, 32, True), (1, 3, True), (2, 4, False)])
def test_a_cap_that_leaves_most_idle_is_said(workers: int, there: int, said: bool) -> None:
    assert bool(idle(workers, there)) == said


class Steps:
    """What the driver's loop calls, with nodes that join and leave."""

    def __init__(self, ticker: Callable[..., Any]) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.dispatcher = Dispatcher(self, 0, 60)  # type: ignore[arg-type]
        self.ticker = ticker(self, self, lambda: None, lambda nodes: room(nodes, 1, 0, 0))

    def look(self) -> list[dict[str, Any]]:
        return self.nodes

    def machines(self, text: str) -> None: ...

    def raise_error(self) -> None: ...


@pytest.mark.ray
def test_nodes_that_join_are_used_and_those_that_leave_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline.execution import ray_engine

    monkeypatch.setattr(ray_engine.ray, "available_resources", dict)
    steps = Steps(ray_engine.DriverCallback)
    for count in (1, 3, 2, 0):
        steps.nodes = [node(4)] * count
        steps.ticker.on_step_begin(0, [])
        assert steps.dispatcher.slots == 4 * count + AHEAD


def test_progress_tells_what_runs_in_parallel() -> None:
    assert Progress("sweep", {"C4": 3}, 2).parallel == "2 in parallel"
    assert "room for" in Progress("sweep", {"C4": 3}, "auto").parallel
