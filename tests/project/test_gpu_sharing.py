"""Processes of the benchmark that share a GPU: rates are added up, and deaths are rows."""

from __future__ import annotations

import argparse
import json
import os

import pytest
import torch
from gpu_modules import benchmark_modules

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def modules():
    yield from benchmark_modules()


class FakeWorker:
    """Answers as told, without a process; remembers whether it was ended."""

    made: list[FakeWorker]
    answers: dict[int, list[dict]]

    def __init__(self, case, device):
        self.asked, self.ended = [], False
        self.left = [{"ready": True}, *self.answers[len(self.made)]]
        self.made.append(self)

    def ask(self, way, seconds):
        self.asked.append(way)

    def answer(self):
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self):
        self.ended = True


def together(modules, monkeypatch, answers):
    sharing = modules.gpu_sharing
    monkeypatch.setattr(FakeWorker, "made", [], raising=False)
    monkeypatch.setattr(FakeWorker, "answers", answers, raising=False)
    monkeypatch.setattr(sharing, "Worker", FakeWorker)
    monkeypatch.setattr(sharing, "PROCESSES", (1, 2))
    asked = argparse.Namespace(device=CPU, quick=False)
    return list(sharing.together(sharing.Case("gsa"), asked, ["eager", "graph"]))


def test_processes_are_added_up_by_way_and_number(modules, monkeypatch):
    rates = [{"images_s": float(x)} for x in (100, 80, 300, 200)]
    found = together(modules, monkeypatch, {0: rates, 1: [{"images_s": 70.0}, {"error": "E"}]})
    assert [(row["way"], row["processes"], row.get("images_s")) for row in found] == [
        ("eager", 1, 100), ("eager", 2, 150), ("graph", 1, 300), ("graph", 2, None),
    ]  # fmt: skip
    assert found[-1]["error"] == "E"
    assert all(worker.ended for worker in FakeWorker.made)


def test_process_that_dies_is_a_row_and_all_are_ended(modules, monkeypatch):
    error = modules.gpu_sharing.WorkerError("a process ended with -9: no word")
    found = together(modules, monkeypatch, {0: [{"images_s": 1.0}] * 2, 1: [error]})
    assert found[-1]["error"] == "WorkerError: a process ended with -9: no word"
    assert [worker.ended for worker in FakeWorker.made] == [True, True]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('no such device')", "a process ended with 1: no such device"),
        ("import os; os.kill(os.getpid(), 9)", "a process ended with -9: no word"),
        ("print('Traceback')", "Traceback"),
    ],
)
def test_last_words_of_a_process(code, said, modules, monkeypatch, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(code)
    monkeypatch.setattr(modules.gpu_sharing, "__file__", str(script))
    worker = modules.gpu_sharing.Worker(modules.gpu_networks.Case("gsa"), CPU)
    with pytest.raises(modules.gpu_sharing.WorkerError) as ended:
        worker.answer()
    assert str(ended.value) == said
    worker.end()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)


def test_processes_that_hang_are_a_row(modules, monkeypatch, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(modules.gpu_sharing, "__file__", str(script))
    monkeypatch.setattr(modules.gpu_sharing, "LIMIT", 0.2)
    asked = argparse.Namespace(device=CPU, quick=True)
    (row,) = modules.gpu_sharing.together(modules.gpu_networks.Case("gsa"), asked, ["eager"])
    assert row["error"] == "WorkerError: a process ended with -9: no word"


def test_a_worker_answers_every_line(modules, monkeypatch, capsys):
    lines = iter(["eager 0.001\n", "eager 0.001\n"])
    monkeypatch.setattr(modules.gpu_sharing.sys, "stdin", lines)
    modules.gpu_sharing.work(["cpu", "gcnn", "5000", "2", "8"])
    ready, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {"ready": True}
    assert all(answer["images_s"] > 0 for answer in answers)
    assert len(answers) == 2
