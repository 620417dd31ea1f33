"""How many trials share a GPU: measured with processes that each train for a few seconds.

Run as a script, this is one of the processes: it reads a case as a line of JSON, reports that it is
ready, and begins to train when the parent sends a second line.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import IO, Any

__all__ = ["COUNTS", "Case", "Measured", "ProbeFailed", "best", "measure_together", "work"]

COUNTS = (1, 2, 4, 8)
GAIN = 1.1  # of throughput, below which twice as many trials are not worth their memory
ROOM = 0.9  # of a GPU's memory
SECONDS, LIMIT, WARM_UP = 3.0, 180.0, 5  # of a measurement; of all with their starts; steps


class ProbeFailed(Exception):
    """A process of the probe ended early or said something else."""


@dataclass(frozen=True)
class Case:
    """What is trained: a configuration, on images of noise.

    Attributes
    ----------
    configuration
        As of a trial.
    card
        Of its data set: shape of images, classes, mean and standard deviation.
    device
        Where to train.
    threads
        Of the host, for each process.
    seconds
        Of the measurement.
    """

    configuration: dict[str, Any]
    card: dict[str, Any]
    device: str = "cuda"
    threads: int = 1
    seconds: float = SECONDS


@dataclass(frozen=True)
class Measured:
    """Trials at once, the images a second of all together, and the most bytes that one takes."""

    trials: int
    images_per_second: float
    bytes: float


def best(
    measure: Callable[[int], Measured | None], total: float, more: float, most: int
) -> Measured | None:
    """Double the trials while all fit into memory and their throughput grows by a tenth.

    Parameters
    ----------
    measure
        Measures so many trials at once; None where they have no memory.
    total
        Bytes of the GPU.
    more
        Bytes that a trial takes beyond what is measured: its images, and its process.
    most
        Trials that there are cores for.

    Returns
    -------
    Measured or None
        None where one trial alone has no memory.
    """
    found = measure(1)
    for count in COUNTS[1:]:
        if found is None or count > most or count * (found.bytes + more) > ROOM * total:
            break
        next_one = measure(count)
        if next_one is None or next_one.images_per_second < GAIN * found.images_per_second:
            break
        found = next_one
    return found


def measure_together(count: int, case: Case) -> Measured | None:
    """Train in so many processes at once; None where memory runs out.

    Raises
    ------
    ProbeFailed
        With the last line that a process wrote.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(case)) for _ in range(count)]
        timer = threading.Timer(LIMIT, _kill, [workers])
        stack.callback(timer.cancel)
        timer.start()
        ready = [worker.answer() for worker in workers]
        if not any("out_of_memory" in answer for answer in ready):
            for worker in workers:
                worker.go()
            ready = [worker.answer() for worker in workers]
    if any("out_of_memory" in answer for answer in ready):
        return None
    rate = math.fsum(answer["images_per_second"] for answer in ready)
    return Measured(count, rate, max(answer["bytes"] for answer in ready))


def _kill(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()


class _Worker:
    """A process that trains; it is ended with the context."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def __enter__(self) -> _Worker:
        # The first GPU that this machine shows; all are taken for alike.
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.execution.gpu_probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "CUDA_VISIBLE_DEVICES": seen},
        )
        self._send(json.dumps(asdict(self.case)))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def go(self) -> None:
        """Let it train."""
        self._send("go")

    def answer(self) -> dict[str, Any]:
        """Wait for what it says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            found = json.loads(line)
        except ValueError:
            raise ProbeFailed(line.strip() or self._last_line()) from None
        return found if isinstance(found, dict) else {}

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except OSError as error:
            raise ProbeFailed(self._last_line()) from error

    def _last_line(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        return (self.errors.read().splitlines() or ["a process ended without a word"])[-1]


def work(asked: IO[str], answers: IO[str]) -> None:
    """Train as the other side asks, and answer with what was measured."""
    from pipeline.execution.resumable_training import is_out_of_memory

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    case = Case(**json.loads(asked.readline()))
    try:
        step = _steps(case)
        for _ in range(WARM_UP):
            step()
        answer(ready=True)
        if asked.readline().strip() == "go":
            answer(**_trained(case, step))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        answer(out_of_memory=True)


def _steps(case: Case) -> Callable[[], Any]:
    """Return a function that takes a step of the case's training."""
    import numpy as np
    import torch

    from gsa_core import build_model
    from pipeline.dataset import Dataset, Split
    from pipeline.training.devices import use_threads
    from pipeline.training.epoch import Steps
    from pipeline.training.loop import model_arguments

    use_threads(case.threads)
    config = {**case.configuration, "epochs": 10**6, "training_images": None}
    draw, count = np.random.default_rng(0), config["batch_size"]
    images = draw.integers(0, 256, (count, *case.card["image_shape"]), dtype=np.uint8)
    split = Split(images, np.arange(count) % case.card["classes"])
    data = Dataset("noise", split, split, card=case.card)
    torch.manual_seed(0)
    model = build_model(**model_arguments(config, data)).to(case.device)
    steps, batch = Steps.of(model.train(), config, data, count), np.arange(count)
    return lambda: steps.take(batch)


def _trained(case: Case, step: Callable[[], Any]) -> dict[str, float]:
    import torch

    from pipeline.training.devices import is_gpu

    size, taken, start = case.configuration["batch_size"], 0, time.perf_counter()
    while taken == 0 or time.perf_counter() - start < case.seconds:
        step()
        taken += 1
        if is_gpu(case.device) and taken % WARM_UP == 0:
            torch.cuda.synchronize()  # else the host runs seconds ahead
    if is_gpu(case.device):
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    held = torch.cuda.max_memory_reserved() if is_gpu(case.device) else 0
    return {"images_per_second": taken * size / seconds, "bytes": float(held)}


if __name__ == "__main__":
    work(sys.stdin, sys.stdout)
