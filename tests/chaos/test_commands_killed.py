"""`make study` in a clone, of which make, dvc or the stage is ended at random; then it goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from driver_processes import until
from stages import is_running

from pipeline.results import records, schemas

pytestmark = [pytest.mark.deep, pytest.mark.timeout(2400)]

Witness = Callable[[int, str, str], None]
CELLS = {"group": ["C1", "C4"], "positional": ["absolute"], "depth": [1]}
TABLES = {"sweep/digits/trials": schemas.TRIALS, "confirm/digits/runs": schemas.RUNS}
# What no two runs have in common, and where they ran.
OWN = ["seconds", "training_seconds", "training_images_per_second", "peak_memory_bytes"]


class Clone:
    """A clone of the project with a study of a minute."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", str(root), str(folder)], check=True)
        path = folder / "params.yaml"
        values = yaml.safe_load((folder / "studies/digits.yaml").read_text())
        values["sweep"] |= {**CELLS, "trials_per_cell": 4, "epochs": 2}
        values["confirm"] |= {"seeds": [101], "angles": 8, "hierarchy_seeds": 1}
        path.write_text(yaml.safe_dump(values))
        self.started: list[subprocess.Popen[bytes]] = []

    def make(self) -> subprocess.Popen[bytes]:
        """Start `make study`."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "GSA_ENGINE": "in-process",
                       "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip
        self.started.append(
            subprocess.Popen(
                ["make", "study", f"VENV={sys.prefix}"],
                cwd=self.folder,
                env=environment,
                start_new_session=True,
                stdout=(self.folder / "out.txt").open("ab"),
                stderr=subprocess.STDOUT,
            )
        )
        return self.started[-1]

    def output(self) -> str:
        return (self.folder / "out.txt").read_text()

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tables(self) -> list[pd.DataFrame]:
        """Read what must not differ."""
        return [
            records.read(self.folder / f"data/{name}.parquet", schema).drop(columns=OWN)
            for name, schema in TABLES.items()
        ]


@pytest.fixture
def clones(root: Path, tmp_path: Path) -> Iterator[Callable[[str], Clone]]:
    """Makes clones whose processes are gone when the test is."""
    made: list[Clone] = []

    def clone(name: str) -> Clone:
        made.append(Clone(root, tmp_path / name))
        return made[-1]

    yield clone
    for one in made:
        one.end()


def process_of(make: subprocess.Popen[bytes], word: str) -> psutil.Process | None:
    """Find the process of make's family whose command holds a word."""
    try:
        family = [psutil.Process(make.pid), *psutil.Process(make.pid).children(recursive=True)]
        return next((one for one in family if word in " ".join(one.cmdline()[:5])), None)
    except psutil.Error:
        return None


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_dvc_and_stages_are_ended(clones: Callable[[str], Clone], witness: Witness) -> None:
    whole = clones("whole")
    assert whole.make().wait(900) == 0, whole.output()
    want, draw = whole.tables(), random.Random(0)
    clone, longest, refused = clones("killed"), 0.0, 0
    faults = [
        ("pipeline.sweep", "bin/dvc", signal.SIGTERM),
        ("pipeline.sweep", "make", signal.SIGKILL),
        ("pipeline.sweep", "bin/dvc", signal.SIGKILL),
        ("pipeline.sweep", "pipeline.sweep", signal.SIGKILL),
        ("pipeline.confirm", "bin/dvc", signal.SIGTERM),
        ("pipeline.confirm", "pipeline.confirm", signal.SIGKILL),
        ("pipeline.confirm", "make", signal.SIGTERM),
    ]
    for stage, victim, number in faults:
        make = clone.make()
        running = until(
            lambda make=make, stage=stage: process_of(make, stage) or make.poll() is not None,
            600,
        )
        if running is True:
            break  # it was quicker than the fault
        time.sleep(draw.uniform(1, 6))
        mark = process_of(make, victim)
        if mark is None:
            make.wait(600)
            continue
        mark.send_signal(number)
        begun = time.monotonic()
        until(lambda pid=running.pid: not is_running(pid), 60, f"{stage} is an orphan")
        longest = max(longest, time.monotonic() - begun)
        make.wait(120)
        refused += 1
    assert clone.make().wait(900) == 0, clone.output()
    for one, other in zip(clone.tables(), want, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert refused >= 4
    witness(
        5,
        f"make study, real digits: make, dvc or the stage alone ended by SIGTERM or SIGKILL, "
        f"{refused} times",
        f"nothing ran on for more than {longest:.0f} s; the same command ends with equal trials "
        "and runs",
    )
