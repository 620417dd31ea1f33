"""Several processes at once on one device, each of which trains a network of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from gpu_networks import Case, training, ways_of
from gpu_training import first_line, wait

__all__ = ["Worker", "WorkerError", "together", "work"]

PROCESSES = (1, 2, 4, 8)
SECONDS, LIMIT = 1.5, 45  # of a measurement, of all of them with the start
Row = dict[str, Any]


def together(case: Case, asked: argparse.Namespace, ways: list[str]) -> Iterator[Row]:
    """Images a second of all of several processes, each of which trains a network of its own."""
    counts = PROCESSES[:1] if asked.quick else PROCESSES
    seconds = 0.01 if asked.quick else SECONDS
    workers: list[Worker] = []
    timer = threading.Timer(LIMIT, lambda: [worker.process.kill() for worker in workers])
    timer.start()
    try:
        workers += [Worker(case, asked.device) for _ in range(max(counts))]
        for worker in workers:
            worker.answer()  # ready
        for way in ways:
            for count in counts:
                row = {**case.row(), "pass": "training", "way": way, "processes": count}
                yield {**row, **_total(workers[:count], way, seconds)}
    except Exception as error:
        row = {**case.row(), "pass": "training", "processes": max(counts)}
        yield {**row, "error": first_line(error)}
    finally:
        timer.cancel()
        for worker in workers:
            worker.end()


def _total(workers: list[Worker], way: str, seconds: float) -> Row:
    """The sum of what workers do in the same seconds."""
    for worker in workers:
        worker.ask(way, seconds)
    answers = [worker.answer() for worker in workers]
    wrong = [answer["error"] for answer in answers if "error" in answer]
    if wrong:
        return {"error": wrong[0]}
    return {"images_s": sum(answer["images_s"] for answer in answers)}


class WorkerError(Exception):
    """A process that ended, or said what it should not."""


class Worker:
    """A process that trains a network of its own for some seconds, as often as it is asked."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(Path(__file__).resolve()), str(device)]
        command += [case.model, str(case.parameters), str(case.batch), str(case.side)]
        root = str(Path(__file__).resolve().parent.parent)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, way: str, seconds: float) -> None:
        """Let it train; `answer` waits for the end."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{way} {seconds}\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._last_line()) from error

    def answer(self) -> Row:
        """What it says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("{"):
            raise WorkerError(line.strip() or self._last_line())
        return json.loads(line)

    def _last_line(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().splitlines() or ["no word"]
        return f"a process ended with {self.process.returncode}: {lines[-1]}"

    def end(self) -> None:
        """Stop it, whatever it does."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def work(arguments: list[str]) -> None:
    """The process of a `Worker`: a line of answer to every line."""
    name, model, *sizes = arguments
    device = torch.device(name)
    torch.set_num_threads(1)
    parameters, batch, side = map(int, sizes)
    case = Case(model, parameters, batch, side=side)
    steps: dict[str, Any] = {}
    for way in ways_of(device):
        try:
            steps[way] = training(case, device, way)[1]
            steps[way]()
        except Exception as error:
            steps[way] = first_line(error)
    wait(device)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        way, seconds = line.split()
        step = steps[way]
        answer = {"error": step} if isinstance(step, str) else _rate(step, case, float(seconds))
        print(json.dumps(answer), flush=True)


def _rate(step: Callable[[], Any], case: Case, seconds: float) -> Row:
    """Images a second over so many seconds."""
    done, start, taken = 0, time.perf_counter(), 0.0
    device = step.images.device  # type: ignore[attr-defined]
    while taken < seconds:
        for _ in range(4):
            step()
        wait(device)
        done, taken = done + 4, time.perf_counter() - start
    return {"images_s": done * case.batch / taken}


if __name__ == "__main__":
    work(sys.argv[1:])
