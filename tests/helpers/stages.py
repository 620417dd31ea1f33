"""Stages of the fake study as commands, in a folder of their own, for tests that disturb them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import psutil

from pipeline.results import records, schemas

FAKE = Path(__file__).with_name("fake_study.py")
KEYS = ["cell", "trial", "learning_rate", "channels", "status", "validation_accuracy"]


class Stage:
    """Starts of one stage of the fake study, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        *arguments: str,
        ray: bool = False,
        seconds: float = 0,
        shell: bool = False,
        more: Mapping[str, str] = {},
    ) -> subprocess.Popen[bytes]:
        """Start the stage in a process group of its own, perhaps under a shell that waits.

        `more` is added to its environment: FAKE_TRIALS is how many trials a cell gets.
        """
        environment = {
            **os.environ,
            "FAKE_STARTS": str(self.folder / "starts.txt"),
            "FAKE_SECONDS": str(seconds),
            "GSA_ENGINE": "" if ray else "in-process",
            "PYTHONPATH": str(FAKE.parents[2]),
            **more,
        }
        command = [sys.executable, str(FAKE), *(arguments or ("sweep", "fake_trial"))]
        if shell:
            command = ["sh", "-c", '"$@" & echo $! > pid; wait', "sh", *command]
        self.started.append(
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=(self.folder / "out.txt").open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        return self.started[-1]

    def wait_for(self, count: int, limit: float = 150) -> None:
        """Wait until so many trials have been started."""
        end = time.monotonic() + limit
        while self.starts().total() < count:
            assert time.monotonic() < end, self.output()
            time.sleep(0.05)

    def starts(self) -> Counter[str]:
        path = self.folder / "starts.txt"
        return Counter(path.read_text().splitlines() if path.exists() else [])

    def output(self) -> str:
        return (self.folder / "out.txt").read_text()

    def trials(self) -> pd.DataFrame:
        return records.read(self.folder / "data/sweep/digits/trials.parquet", schemas.TRIALS)

    def end(self) -> None:
        """Kill what is left of all starts."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than a name waiting for its parent."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening(pids: set[int]) -> set[str]:
    """Addresses on which any of the processes takes connections."""
    return {
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
