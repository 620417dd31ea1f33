"""The driver's side of an engine with workers, without any: deaths, limits, second tellings."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from pipeline.execution.dispatcher import RESTARTS, Dispatcher
from pipeline.execution.tasks import (
    CannotWork,
    Context,
    OverTime,
    Result,
    Task,
    describe,
    failed_result,
    perform,
)

COMPLETED = Result({"row": {"status": "completed"}, "epochs": []})


class Source:
    """Three tasks."""

    def __init__(self) -> None:
        self.waiting = deque(Task(str(number), {}) for number in range(3))
        self.results: list[tuple[str, Result]] = []
        self.notes: list[str] = []

    @property
    def exhausted(self) -> bool:
        return len(self.results) == 3

    def next(self) -> Task | None:
        return self.waiting.popleft() if self.waiting else None

    def epoch(self, task: Task, row: dict[str, Any]) -> None:
        pass

    def finish(self, task: Task, result: Result) -> None:
        self.results.append((task.key, result))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher(Source(), slots=2, limit=60)


def test_no_more_tasks_are_out_than_there_are_slots(dispatcher: Dispatcher) -> None:
    assert [dispatcher.take(worker) is not None for worker in "abc"] == [True, True, False]
    dispatcher.finish("a", COMPLETED)
    assert dispatcher.take("c") == Task("2", {})


def test_a_second_telling_changes_nothing(dispatcher: Dispatcher) -> None:
    dispatcher.take("a")
    dispatcher.finish("a", COMPLETED)
    dispatcher.finish("a", failed_result("failed", "told later"))
    dispatcher.lost("a", "")
    [(key, result)] = dispatcher.source.results
    assert (key, result) == ("0", COMPLETED)


def test_a_task_that_outlives_no_worker_fails_in_the_end(dispatcher: Dispatcher) -> None:
    for death in range(RESTARTS + 1):
        task = dispatcher.take(f"worker {death}")
        assert task is not None
        assert task.key == "0"
        assert not dispatcher.finished
        dispatcher.lost(f"worker {death}", "Ray's logs: somewhere")
    [(key, result)] = dispatcher.source.results
    assert (key, result.value["row"]["status"]) == ("0", "failed")
    assert result.value["row"]["reason"].endswith("Ray's logs: somewhere")
    assert len(dispatcher.source.notes) == RESTARTS


def test_a_task_that_gets_further_may_lose_any_number_of_workers(dispatcher: Dispatcher) -> None:
    for epoch in range(1, 10):
        for _ in range(RESTARTS):
            dispatcher.take("a")
            dispatcher.epoch("a", {"epoch": epoch})
            dispatcher.lost("a", "")
        assert not dispatcher.source.results
    dispatcher.take("a")
    dispatcher.lost("a", "")
    [(_, result)] = dispatcher.source.results
    assert f"ended {RESTARTS + 1} times" in result.value["row"]["reason"]
    assert "no further than epoch 9" in result.value["row"]["reason"]
    assert not dispatcher.deaths


def test_a_worker_ended_over_the_limit_is_a_timeout_with_its_epochs(dispatcher: Dispatcher) -> None:
    dispatcher.limit = -1
    dispatcher.take("a")
    dispatcher.begin("a")
    dispatcher.epoch("a", {"epoch": 1})
    dispatcher.lost("a", "")
    [(_, result)] = dispatcher.source.results
    assert result.value["row"]["status"] == "timeout"
    assert result.value["epochs"] == [{"epoch": 1}]


def test_an_error_is_a_result_that_names_its_place() -> None:
    def function(task: Task, data: Any, context: Context) -> dict[str, Any]:
        context.report({"epoch": 1})
        raise KeyError("missing")

    result = perform(function, Task("0", {}), {}, Context())
    assert result.value["row"]["status"] == "failed"
    assert result.value["epochs"] == [{"epoch": 1}]
    first, *frames = result.value["row"]["reason"].splitlines()
    assert first == "KeyError: 'missing'"
    assert frames[-1].strip().startswith("execution/test_engine.py:")


@pytest.mark.parametrize("value", [None, {}, {"row": {}, "epochs": []}])
def test_a_function_that_returns_no_row_fails_its_own_task_only(value: Any) -> None:
    result = perform(lambda *_: value, Task("0", {}), {}, Context())
    assert result.value["row"]["status"] == "failed"


def test_the_limit_is_looked_at_with_each_epoch() -> None:
    with pytest.raises(OverTime):
        Context(limit=-1).report({})
    assert describe(OverTime()) == "OverTime"


def test_workers_that_cannot_load_the_work_end_the_stage(dispatcher: Dispatcher) -> None:
    from pipeline.execution.ray_tasks import MESSAGE, DispatcherSearcher

    searcher = DispatcherSearcher(dispatcher)
    searcher.suggest("a")
    searcher.on_trial_result("a", {MESSAGE: ("broken", "ImportError: no")})
    searcher.on_trial_complete("a")
    with pytest.raises(CannotWork, match="ImportError: no"):
        searcher.raise_error()
    assert not dispatcher.source.results, "a task was blamed"


def test_a_worker_with_other_code_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.execution import code_version as same_code

    driver = same_code.code_for(test_a_worker_with_other_code_is_refused_by_name)
    assert same_code.difference(driver) is None
    driver["pipeline/training/loop.py"] = "other"
    monkeypatch.setattr(same_code.socket, "gethostname", lambda: "node-7")
    told = same_code.difference(driver)
    assert told is not None
    assert told.startswith(
        "node-7 has another version of pipeline/training/loop.py than the driver"
    )
    driver["torch"] = "1.0"
    driver["gsa_core/gone.py"] = "a file that is not here"
    assert "gsa_core/gone.py, pipeline/training/loop.py, torch" in str(same_code.difference(driver))
