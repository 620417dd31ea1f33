"""Faults of a sweep on a local Ray: its driver, its workers, and who reaches it from outside."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from driver_processes import KEYS, TRIALS, TRIALS_PER_CELL, at_risk, deaths, until
from stages import Stage, is_running, listening

from pipeline.execution.orphan_cleanup import started_by

pytestmark = [pytest.mark.deep, pytest.mark.ray, pytest.mark.timeout(1500)]

Witness = Callable[[int, str, str], None]
SECONDS = 0.4
LONG = 600.0


def start(
    stage: Stage, *arguments: str, cells_of: int = TRIALS_PER_CELL
) -> subprocess.Popen[bytes]:
    """Start the small study of docs/reliability.md on Ray."""
    more = {"FAKE_TRIALS": str(cells_of), "OMP_NUM_THREADS": "1"}
    return stage.start(*arguments, ray=True, seconds=SECONDS, more=more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials of the same study, undisturbed and without Ray."""
    stage = Stage(tmp_path_factory.mktemp("whole"))
    process = stage.start(more={"FAKE_TRIALS": str(TRIALS_PER_CELL)})
    assert process.wait(120) == 0, stage.output()
    return stage.trials()[KEYS]


def family(driver: subprocess.Popen[bytes]) -> dict[int, str]:
    """Names by process id of all that a driver has started."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return {process.pid: process.name() for process in found if process.is_running()}


def raylet(driver: subprocess.Popen[bytes]) -> int:
    """The process id of a driver's raylet."""
    return next(pid for pid, name in family(driver).items() if name == "raylet")


def busy(raylet: int) -> list[int]:
    """Workers that do a trial."""
    names = {}
    for pid in started_by(raylet):
        if is_running(pid):
            names[pid] = " ".join(psutil.Process(pid).cmdline())
    return [pid for pid, name in names.items() if name.startswith("ray::ImplicitFunc")]


def test_drivers_killed_at_random_times_on_ray(
    stage: Stage, whole: pd.DataFrame, witness: Witness
) -> None:
    draw, kills, code = random.Random(1), 0, None
    while code is None:
        driver = start(stage)
        before = stage.starts().total()
        if kills < 4:
            until(lambda: stage.starts().total() > before, LONG, stage.output())  # noqa: B023
            time.sleep(draw.uniform(0, 1.5))
        if kills < 4 and driver.poll() is None:
            mine = raylet(driver)
            driver.kill()
            driver.wait()
            kills += 1
            until(lambda: not [p for p in started_by(mine) if is_running(p)], 30)  # noqa: B023
        else:
            code = driver.wait(LONG)
    assert code == 0, stage.output()
    pd.testing.assert_frame_equal(stage.trials()[KEYS], whole)
    again = stage.starts().total() - TRIALS
    assert len(stage.starts()) == TRIALS
    assert again <= 2 * kills
    witness(
        1,
        f"one sweep on Ray, its driver killed {kills} times at random",
        f"all {TRIALS} rows as undisturbed; {again} trials ran again, {2 * kills} were the most "
        "in flight; no process left 30 s after any kill",
    )


def test_six_workers_killed_in_thirty_trials(stage: Stage, witness: Witness) -> None:
    driver, killed, draw = start(stage, cells_of=10), 0, random.Random(2)
    stage.wait_for(2, LONG)
    mine = raylet(driver)
    while killed < 6:
        workers = until(lambda: busy(mine), LONG, stage.output())
        told, count = deaths(stage.output()).total(), stage.starts().total()
        os.kill(draw.choice(workers), signal.SIGKILL)
        killed += 1

        def gone_on(told: int = told, count: int = count) -> bool:
            """The death was told and a trial begun since; or none was hit, which is not told."""
            begun = stage.starts().total() - count
            return begun > 4 or (begun > 0 and deaths(stage.output()).total() > told)

        until(gone_on, LONG, stage.output())
        until(lambda: not at_risk(stage.output()), LONG, stage.output())
        time.sleep(draw.uniform(0, 0.5))
    assert driver.wait(LONG) == 0, stage.output()
    trials = stage.trials()
    assert (trials["status"] == "completed").all() and len(trials) == 30
    assert stage.starts().total() <= 36
    witness(
        3,
        f"{killed} kills of a worker in 30 trials",
        f"30 completed in {stage.starts().total()} starts",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_on_ray(
    stage: Stage, whole: pd.DataFrame, witness: Witness, number: signal.Signals
) -> None:
    driver = start(stage)
    stage.wait_for(5, LONG)
    mine = raylet(driver)
    begun = time.monotonic()
    os.killpg(driver.pid, number)
    assert driver.wait(30) == 128 + number
    seconds = time.monotonic() - begun
    until(lambda: not [pid for pid in started_by(mine) if is_running(pid)], 60)
    assert start(stage).wait(LONG) == 0, stage.output()
    pd.testing.assert_frame_equal(stage.trials()[KEYS], whole)
    witness(
        5,
        f"{number.name} to the group of a sweep on Ray",
        f"ended after {seconds:.0f} s, no process left; the same rows after going on",
    )


def test_a_trial_that_hangs_and_ignores_sigterm(stage: Stage, witness: Witness) -> None:
    driver = start(stage, "sweep", "stubborn_trial", "10")
    assert driver.wait(LONG) == 0, stage.output()
    trials = stage.trials().set_index(["group", "trial"])
    assert trials.loc[("C4", 1), "status"] == "timeout"
    assert (trials.drop(("C4", 1))["status"] == "completed").all() and len(trials) == TRIALS
    took = trials.loc[("C4", 1), "seconds"]
    assert took <= 10 + 10
    assert stage.starts().total() == TRIALS
    witness(
        6,
        "a trial of a limit of 10 s hangs and ignores SIGTERM",
        f"ended after {took:.0f} s, a row that says timeout; the other {TRIALS - 1} completed",
    )


ASK = """
import os, sys
import ray
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_get(b"any", namespace=b"fun", timeout=10)
except Exception as error:
    sys.exit(f"refused: {type(error).__name__}: {error}")
print("answered")
"""


def ask(address: str, **environment: str) -> str:
    """Read a key of a running Ray's head as another process of this machine might."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, address], env={**kept, **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return (done.stdout + done.stderr).strip()


def test_nobody_without_the_token_is_answered(
    stage: Stage, tmp_path: Path, witness: Witness
) -> None:
    token = "0123456789abcdef" * 2
    more = {"RAY_AUTH_TOKEN": token, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}
    driver = stage.start(ray=True, seconds=20, more=more)
    stage.wait_for(1, LONG)
    mine = raylet(driver)
    ours = {driver.pid, *family(driver), *started_by(mine)}
    assert listening(ours) <= {"127.0.0.1"}
    # Ray starts the process of its dashboard all the same, but without a server in it.
    page = [p for p in ours if "dashboard/dashboard.py" in " ".join(psutil.Process(p).cmdline())]
    assert not listening(set(page))
    head = next(pid for pid, name in family(driver).items() if name == "gcs_server")
    ports = {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.pid == head and connection.status == psutil.CONN_LISTEN
    }
    answers = {"right": [], "wrong": [], "none": []}
    for port in ports:
        address = f"127.0.0.1:{port}"
        answers["right"].append(ask(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token))
        answers["wrong"].append(ask(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 32))
        answers["none"].append(ask(address, RAY_AUTH_MODE="disabled"))
    assert "answered" in answers["right"], answers
    assert "answered" not in answers["wrong"] + answers["none"], answers
    os.killpg(driver.pid, signal.SIGTERM)
    driver.wait(60)
    for path in stage.folder.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    witness(
        19,
        "sockets of a running sweep; its head asked without and with a wrong token",
        "on 127.0.0.1 alone, no dashboard; refused "
        "both times, answered with the right one; the token is in no output, state or table",
    )
