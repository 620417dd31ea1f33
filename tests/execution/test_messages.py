"""What workers send to the driver: epochs in batches, large results in parts, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.execution import ray_tasks
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.epoch_batches import LEAST, MESSAGES, EpochBatches, interval
from pipeline.execution.ray_tasks import MESSAGE, DispatcherSearcher, PartBuffer, split
from pipeline.execution.tasks import Context, Result, Task, failed_result, perform

Row = dict[str, Any]


class Worker:
    """A sender of epochs whose clock a test turns."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.sent: list[list[int]] = []
        self.batches = EpochBatches(self.send, seconds, lambda: self.now)

    def send(self, rows: list[Row]) -> None:
        self.sent.append([row["epoch"] for row in rows])

    def train(self, epochs: int, each: float, first: int = 1) -> None:
        for epoch in range(first, first + epochs):
            self.now += each
            self.batches.add({"epoch": epoch})


@pytest.mark.parametrize(
    "each, sent",
    [
        (0.01, [[1]]),
        (1.0, [[1], [2, 3, 4], [5, 6, 7], [8, 9, 10]]),
        (5.0, [[n] for n in range(1, 11)]),
    ],
)
def test_epochs_are_sent_every_few_seconds(each: float, sent: list[list[int]]) -> None:
    worker = Worker(3.0)
    worker.train(10, each)
    assert worker.sent == sent


@pytest.mark.parametrize("workers", [1, 150, 1000, 10_000])
def test_all_workers_together_send_a_bounded_number_a_second(workers: int) -> None:
    assert interval(workers) >= LEAST
    assert workers / interval(workers) <= MESSAGES


def test_what_an_earlier_attempt_did_is_told_in_one_message() -> None:
    worker = Worker(100.0)
    context = Context(send=worker.batches.add, flush=worker.batches.flush)
    for epoch in range(1, 41):
        context.report({"epoch": epoch}, flush=epoch == 40)
    assert worker.sent == [[1], list(range(2, 41))]
    worker.batches.flush()
    assert len(worker.sent) == 2, "nothing is sent twice"


class Source:
    """Takes what the dispatcher passes on."""

    exhausted = False

    def __init__(self) -> None:
        self.told: list[int] = []
        self.results: list[Result] = []
        self.tasks = [Task("a", {})]

    def next(self) -> Task | None:
        return self.tasks.pop() if self.tasks else None

    def epoch(self, task: Task, row: Row) -> None:
        self.told.append(row["epoch"])

    def finish(self, task: Task, result: Result) -> None:
        self.results.append(result)

    def note(self, text: str) -> None: ...

    def machines(self, text: str) -> None: ...


@pytest.fixture
def dispatcher() -> Dispatcher:
    dispatcher = Dispatcher(Source(), slots=1, limit=60)
    dispatcher.take("w")
    return dispatcher


def rows(*epochs: int) -> list[Row]:
    return [{"epoch": epoch} for epoch in epochs]


@pytest.mark.parametrize(
    "batches, kept",
    [
        ([(1,), (2, 3), (4,)], [1, 2, 3, 4]),
        ([(1, 2, 3), (1, 2)], [1, 2]),
        ([(1,), (2, 3), (1,), (2, 3, 4)], [1, 2, 3, 4]),
        ([()], []),
    ],
)
def test_the_driver_keeps_each_epoch_once(
    dispatcher: Dispatcher, batches: list[tuple[int, ...]], kept: list[int]
) -> None:
    for batch in batches:
        dispatcher.epoch("w", *rows(*batch))
    assert [row["epoch"] for row in dispatcher.epochs["w"]] == kept
    assert dispatcher.source.told == [batch[-1] for batch in batches if batch]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [0.0, 3.0, 1e9])
def test_results_and_decisions_do_not_depend_on_when_epochs_are_sent(seconds: float) -> None:
    """Early stopping is decided where the epochs are made, from what the task says."""

    def function(task: Task, data: Any, context: Context) -> dict[str, Any]:
        for epoch in range(1, 10):
            context.report({"epoch": epoch, "accuracy": epoch / 10})
            if epoch == task.payload["stop"]:
                break
        return {"row": {"status": "completed"}, "epochs": context.epochs}

    batches = EpochBatches(lambda rows: None, seconds)
    context = Context(send=batches.add, flush=batches.flush)
    result = perform(function, Task("a", {"stop": 4}), {}, context)
    assert [row["epoch"] for row in result.value["epochs"]] == [1, 2, 3, 4]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tasks, "PART", 4)
    monkeypatch.setattr(ray_tasks, "MOST", 100)


VALUES = [
    {"weights": b"0123456789", "row": {"x": 1}},
    {"weights": b"0123", "row": {}},
    {"a": b"01234", "b": b"x" * 16, "c": b"", "row": {}},
    {"row": {}},
]


@pytest.mark.parametrize("value", VALUES)
def test_large_results_come_whole_in_small_parts(value: Any, small_parts: None) -> None:
    driver, sent = PartBuffer(), []

    def send(part: bytes) -> None:
        sent.append(len(part))
        driver.add("w", part)

    light = split(Result(value, seconds=2.0), send)
    assert all(length <= 4 for length in sent)
    assert not [v for v in light.value.values() if isinstance(v, bytes) and len(v) > 4]
    assert driver.join("w", light) == Result(value, seconds=2.0)
    assert not driver.kept


def test_what_is_too_large_is_a_failure_that_says_so(small_parts: None) -> None:
    result = split(
        Result({"weights": bytes(101), "row": {"status": "completed"}, "epochs": rows(1)}, 2.0),
        lambda part: pytest.fail("a part was sent"),
    )
    reason = "its weights of 101 bytes are more than the 100 bytes that a task may bring"
    assert result == failed_result("failed", reason, 2.0, rows(1))


def test_parts_of_a_worker_that_ended_are_not_taken_for_anothers(small_parts: None) -> None:
    driver = PartBuffer()
    driver.add("w", b"left")
    driver.drop("w")
    light = split(Result({"weights": b"01234"}), lambda part: driver.add("w", part))
    assert driver.join("w", light).value == {"weights": b"01234"}
    driver.add("v", b"more")
    with pytest.raises(ValueError, match="4 bytes came for a result of 0"):
        driver.join("v", Result({}))


@pytest.mark.ray
def test_the_searcher_takes_epochs_and_parts(dispatcher: Dispatcher, small_parts: None) -> None:
    searcher = DispatcherSearcher(dispatcher)
    for kind, content in (("epochs", rows(1, 2)), ("part", b"0123"), ("part", b"4")):
        searcher.on_trial_result("w", {MESSAGE: (kind, content)})
    light = split(Result({"weights": b"01234"}), lambda part: None)
    searcher.on_trial_result("w", {MESSAGE: ("result", light)})
    searcher.raise_error()
    [result] = dispatcher.source.results  # type: ignore[attr-defined]
    assert result.value == {"weights": b"01234"} and dispatcher.source.told == [2]  # type: ignore[attr-defined]
