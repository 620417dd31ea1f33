"""Section 4 of `gpu.py`: images a second of whole networks, alone and several on one device.

Rows are in order of their use: a section whose time is up has measured what matters most.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import torch
from gpu_training import TrainingStep, autocast, captured, first_line, products_in, wait
from torch import nn

from gsa_core import build_model, count_parameters, solve_channels

__all__ = ["models"]

NETWORKS: dict[str, dict[str, Any]] = {
    "staged": {"depth": 2},
    "gsa": {"depth": 2, "tokens": "stem", "patch_size": 4},
    "hybrid": {"depth": 2},
    "gcnn": {"depth": 3},
    "vit": {"depth": 4, "num_heads": 4},
}
SMALL, LARGE = 45_000, 1_000_000  # parameters
SIDE, BATCHES, PROCESSES = 28, (64, 1024), (1, 2, 4, 8)
ROW_SECONDS, TOGETHER_SECONDS = 0.2, 1.5  # of timed steps
PASSES = ("training", "evaluation")
Row = dict[str, Any]


@cache
def _channels(model: str, parameters: int, side: int) -> int:
    """The width; networks are built a dozen times for it."""
    return solve_channels(parameters, model=model, image_size=side, **NETWORKS[model])


@dataclass(frozen=True)
class Case:
    """A network on batches of one size, in one precision."""

    model: str
    parameters: int = SMALL
    batch: int = BATCHES[0]
    precision: str = "float32"
    side: int = SIDE

    def build(self, device: torch.device) -> nn.Module:
        """The network, its width solved for the parameters."""
        arguments = {"model": self.model, "image_size": self.side, **NETWORKS[self.model]}
        channels = _channels(self.model, self.parameters, self.side)
        return build_model(**arguments, channels=channels).to(device)

    def step(self, device: torch.device) -> TrainingStep:
        """A training step on images of noise."""
        torch.manual_seed(0)
        images = torch.randn(self.batch, 1, self.side, self.side, device=device)
        labels = torch.arange(self.batch, device=device) % 10
        model = self.build(device).train()
        return TrainingStep(model, images, labels, self.batch, precision=self.precision)

    def row(self) -> Row:
        """The columns that say what is measured."""
        about = {"model": self.model, "budget": self.parameters, "batch": self.batch}
        return {**about, "dtype": self.precision, "processes": 1}


def models(asked: argparse.Namespace) -> Iterator[Row]:
    """Rows of one pass, training or evaluation, each."""
    if asked.quick:
        first, later = [Case(name, 5_000, 2, side=8) for name in NETWORKS], []
    else:
        first, later = [Case(name) for name in NETWORKS], _later()
    ways = _ways(asked.device)
    for case in first:
        yield from _alone(case, asked, ways)
    yield from _together(first[1], asked, ways)
    for case in later:
        yield from _alone(case, asked, ways[-1:])
    if not asked.quick:
        yield from _alone(Case("hybrid"), asked, ["compiled"])


def _later() -> list[Case]:
    cases = [Case(name, batch=BATCHES[1]) for name in NETWORKS]
    for precision in ("tf32", "bfloat16"):
        cases += [Case(x, SMALL, y, precision) for x in ("staged", "gsa") for y in BATCHES]
    cases += [Case("staged", LARGE, y, z) for z in ("float32", "bfloat16") for y in BATCHES]
    return cases + [Case("vit", LARGE, y, z) for z in ("float32", "bfloat16") for y in BATCHES]


def _ways(device: torch.device) -> list[str]:
    return ["eager", "graph"] if device.type == "cuda" else ["eager"]


def _alone(case: Case, asked: argparse.Namespace, ways: list[str]) -> Iterator[Row]:
    """Images a second of a network by each way, in training and in evaluation."""
    least = 0 if asked.quick else ROW_SECONDS
    for way in ways:
        for name, run in zip(PASSES, (_training, _evaluation), strict=True):
            _free(asked.device)
            found = _attempted(lambda run=run, way=way: run(case, asked.device, way), least, case)
            yield {**case.row(), "pass": name, "way": way, **found}


def _free(device: torch.device) -> None:
    """What the row before held, also if it failed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _attempted(
    make: Callable[[], tuple[nn.Module, Callable[[], Any]]], least: float, case: Case
) -> Row:
    """The rate of what is made, or why there is none."""
    try:
        start = time.perf_counter()
        model, run = make()
        device = next(model.parameters()).device
        with products_in(case.precision):
            seconds = _seconds_a_step(run, device, least)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return {"out_of_memory": True}
        return {"error": first_line(error)}
    row: Row = {"images_s": case.batch / seconds, "ms": 1000 * seconds}
    if device.type == "cuda":
        row["peak_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    row |= {"parameters": count_parameters(model), "row_s": time.perf_counter() - start}
    return row


def _seconds_a_step(run: Callable[[], Any], device: torch.device, least: float) -> float:
    """Mean of as many steps as take so long, after two that are not counted."""
    for _ in range(2):
        run()
    count = 1
    while True:
        wait(device)
        start = time.perf_counter()
        for _ in range(count):
            run()
        wait(device)
        taken = time.perf_counter() - start
        if taken >= least:
            return taken / count
        count *= 2


def _training(case: Case, device: torch.device, way: str) -> tuple[nn.Module, Callable[[], Any]]:
    step = case.step(device)
    model = step.model
    if way == "compiled":
        step.model = torch.compile(model)
    elif way == "graph":
        step.capture()
        if step.way != "graph":
            raise RuntimeError(step.reason)
    return model, step


def _evaluation(case: Case, device: torch.device, way: str) -> tuple[nn.Module, Callable[[], Any]]:
    model = case.build(device).eval()
    called = torch.compile(model) if way == "compiled" else model
    images = torch.randn(case.batch, 1, case.side, case.side, device=device)

    @torch.no_grad()
    def run() -> None:
        with autocast(case.precision, device):
            called(images)

    if way != "graph":
        return model, run
    with products_in(case.precision):
        return model, captured(run).replay


def _together(case: Case, asked: argparse.Namespace, ways: list[str]) -> Iterator[Row]:
    """Images a second of all of several processes, each of which trains a network of its own."""
    counts = PROCESSES[:1] if asked.quick else PROCESSES
    seconds = 0.01 if asked.quick else TOGETHER_SECONDS
    workers: list[Worker] = []
    try:
        workers += [Worker(case, asked.device) for _ in range(max(counts))]
        for worker in workers:
            worker.answer()  # ready
        for way in ways:
            for count in counts:
                row = {**case.row(), "pass": "training", "way": way, "processes": count}
                yield {**row, **_total(workers[:count], way, seconds)}
    except WorkerError as error:
        yield {**case.row(), "pass": "training", "processes": max(counts), "error": str(error)}
    finally:
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
    for way in _ways(device):
        try:
            steps[way] = _training(case, device, way)[1]
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
