"""Real driver processes, forked from one that has imported everything: a start costs no second.

They are forked by `multiprocessing`'s fork server, so each has a parent that lives on, and run a
stage of the fake study as its command does, with lock, signals and lifeline.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
KEYS = ["cell", "trial", "learning_rate", "channels", "status", "validation_accuracy"]
# The small study of docs/reliability.md: three cells of eight trials.
TRIALS_PER_CELL = 8
TRIALS = 3 * TRIALS_PER_CELL
AT_ONCE = 6  # drivers


def build_faults(folder: Path) -> Path | None:
    """Compile faults.c; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "faults.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(HERE / "faults.c")]
    subprocess.run([*command, "-ldl"], check=True)
    return library


class DriverProcesses:
    """Starts drivers; ends those that a test leaves behind."""

    def __init__(self, library: Path | None) -> None:
        self.faults = library is not None
        places = (HERE.parent.parent, HERE.parent / "helpers", HERE)
        self.environment = {
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            "OMP_NUM_THREADS": "1",
            "GSA_QUIET": "1",
            "RAY_ADDRESS": "local",
        }
        if library is not None:
            self.environment["LD_PRELOAD"] = str(library)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["preloaded"])
        self.born: list[BaseProcess] = []

    def start(self, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        """Start a process; the server is started with the first, and again should it be gone."""
        kept = dict(os.environ)
        os.environ.update(self.environment)
        try:
            for left in (2, 1, 0):
                process = self.context.Process(target=target, args=arguments)
                try:
                    process.start()
                    break
                except (EOFError, ConnectionError):
                    if not left:
                        raise
        finally:
            os.environ.clear()
            os.environ.update(kept)
        self.born.append(process)
        return process

    def end(self) -> None:
        """Kill what is left."""
        for process in self.born:
            if process.is_alive():
                process.kill()
            process.join()
        self.born.clear()


def drive(
    folder: Path,
    environment: dict[str, str],
    stages: tuple[str, ...] = ("sweep",),
    function: str = "fake_trial",
    section: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Run stages of the fake study in a folder, in this process: the target of a driver."""
    import fake_study

    from pipeline.common import errors
    from pipeline.confirm import stage as confirm
    from pipeline.sweep import stage as sweep

    os.setsid()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    out = os.open(f"{folder}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for as long as the process lives
    # What stands in for the data is not to be among the calls that fail.
    fake_study.prepare_folder()
    fake_study.prepare_folder = lambda: None
    fake_study.fake_load = lambda *arguments, **options: fake_study.FakeData()
    # What is asked of git is the same in all of a test's starts, and slow.
    sweep.provenance = confirm.provenance = lambda params, card: {}
    functions = {**fake_study.FUNCTIONS, "confirm": fake_study.fake_confirmation}
    params = fake_study.study(**{"trials_per_cell": TRIALS_PER_CELL, **section})
    one = params.confirm.model_copy(update={"seeds": (101,)})
    params = params.model_copy(update={"confirm": one})
    defaults = {"GSA_ENGINE": "in-process", "FAKE_STARTS": f"{folder}.starts"}
    os.environ.update({**defaults, **environment})
    for stage in stages:
        work = functions["confirm" if stage == "confirm" else function]
        errors.main(lambda stage=stage, work=work: fake_study.run_stage(stage, work, params))


def starts(folder: Path) -> Counter[str]:
    """How often each task was started."""
    path = Path(f"{folder}.starts")
    return Counter(path.read_text().splitlines() if path.exists() else [])


def output(folder: Path) -> str:
    """What all starts in a folder have printed."""
    return Path(f"{folder}.out").read_text()


def trials(folder: Path) -> pd.DataFrame:
    """The trials that a sweep left in a folder."""
    from pipeline.results import records, schemas

    return records.read(folder / "data/sweep/digits/trials.parquet", schemas.TRIALS)


def deaths(output: str) -> Counter[tuple[str, str]]:
    """Deaths of workers that drivers have told, by the cell and number of their trial."""
    return Counter(re.findall(r"a worker process died in (.+) (\d+), which", output))


def at_risk(output: str) -> list[tuple[str, str]]:
    """Trials under way that lost two workers: a third death is taken for their own doing."""
    twice = [key for key, count in deaths(output).items() if count > 1]
    return [(cell, number) for cell, number in twice if f"{cell}  trial {number}:" not in output]


def until(condition: Callable[[], Any], limit: float = 120, why: str = "") -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, why or "waited in vain"
        time.sleep(0.02)
    return value


def fault(folder: Path, kind: str, at: int) -> dict[str, str]:
    """Arm a fault below a folder."""
    return {"FAULT_ROOT": str(folder), "FAULT_KIND": kind, "FAULT_AT": str(at)}


def batches(points: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into pieces that run at once."""
    for start in range(0, len(points), AT_ONCE):
        yield points[start : start + AT_ONCE]


def counts(names: list[str]) -> str:
    """Say how many calls there were of each name."""
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
