"""Drivers that are killed, cut short, starved of disk, crowded, and given a mad clock.

Real processes and real system calls, on the engine that needs no Ray.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver_processes import (
    AT_ONCE,
    KEYS,
    TRIALS,
    DriverProcesses,
    batches,
    counts,
    drive,
    fault,
    output,
    starts,
    trials,
    until,
)

from pipeline.results import records, schemas

Size = Callable[[int, int], int]
Witness = Callable[[int, str, str], None]
Tiny = tuple[list[pd.DataFrame], list[str]]
TABLES = {
    "sweep/digits/trials": schemas.TRIALS,
    "sweep/digits/epochs": schemas.EPOCHS,
    "confirm/digits/runs": schemas.RUNS,
    "confirm/digits/epochs": schemas.EPOCHS,
    "confirm/digits/angles": schemas.ANGLES,
    "confirm/digits/layers": schemas.LAYERS,
    "confirm/hierarchy": schemas.HIERARCHY,
}
# A study of two trials, a run and the hierarchy: small enough to be ended at its every call.
TINY = {"group": ["C1"], "trials_per_cell": 2}
BOTH = ("sweep", "confirm")


@pytest.fixture(scope="module")
def whole(all_of_them: DriverProcesses, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials of a sweep that nothing happened to."""
    folder = tmp_path_factory.mktemp("drivers") / "whole"
    process = all_of_them.start(drive, folder, {})
    process.join(120)
    assert process.exitcode == 0, output(folder)
    return trials(folder)[KEYS]


@pytest.fixture(scope="module")
def tiny(all_of_them: DriverProcesses, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tables of a tiny study that nothing happened to, and its calls to the disk."""
    if not all_of_them.faults:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("drivers") / "want"
    process = all_of_them.start(counted, folder, Path(f"{folder}.calls"))
    process.join(60)
    assert process.exitcode == 0, output(folder)
    return tables(folder), Path(f"{folder}.calls").read_text().split()


def test_drivers_killed_at_random_times(
    drivers: DriverProcesses, whole: pd.DataFrame, tmp_path: Path, size: Size, witness: Witness
) -> None:
    sweeps, seconds = size(2, 50), size(0, 1) * 0.3 + 0.1
    draw = random.Random(0)
    running = {tmp_path / f"{number}": 0.0 for number in range(sweeps)}
    kills = dict.fromkeys(running, 0)
    processes: dict[Path, tuple[object, float]] = {}
    while running:
        for folder in list(running)[:AT_ONCE]:
            if folder not in processes:
                process = drivers.start(drive, folder, {"FAKE_SECONDS": str(seconds)})
                # Three kills at any moment of a whole sweep, then it may go on to its end.
                life = draw.uniform(0, TRIALS * seconds) if kills[folder] < 3 else float("inf")
                processes[folder] = (process, time.monotonic() + life)
            process, end = processes[folder]
            if process.exitcode is not None:
                assert process.exitcode == 0, output(folder)
                del running[folder], processes[folder]
            elif time.monotonic() > end:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                kills[folder] += 1
                del processes[folder]
        time.sleep(0.02)
    again = 0
    for folder, count in kills.items():
        pd.testing.assert_frame_equal(trials(folder)[KEYS], whole)
        assert len(starts(folder)) == TRIALS
        assert starts(folder).total() <= TRIALS + count, "more than what was in flight ran again"
        again += starts(folder).total() - TRIALS
    witness(
        1,
        f"{sweeps} sweeps, drivers killed {sum(kills.values())} times at random",
        f"all end with the {TRIALS} rows of an undisturbed one; {again} trials ran again, "
        "never more than were in flight",
    )


def test_a_driver_ended_at_every_call_to_the_disk(
    drivers: DriverProcesses, tiny: Tiny, tmp_path: Path, size: Size, witness: Witness
) -> None:
    want, names = tiny
    points = [(kind, at) for at in range(1, len(names) + 1) for kind in ("before", "after", "torn")]
    points = points[:: size(-(-len(points) // AT_ONCE), 1)]
    for batch in batches(points):
        folders = [tmp_path / f"{at}-{kind}" for kind, at in batch]
        crashed = [
            drivers.start(drive, folder, fault(folder, kind, at), BOTH, "fake_trial", TINY)
            for folder, (kind, at) in zip(folders, batch, strict=True)
        ]
        for process in crashed:
            process.join(60)
        # The last calls of a stage come after its tables are whole: such a start may end well.
        assert {process.exitcode for process in crashed} <= {-signal.SIGKILL, 0}
        recover(drivers, folders, want, 1)
    witness(
        2,
        f"a study of {len(names)} calls to the disk ({counts(names)}): driver ended before, after "
        f"and within each, {len(points)} crashes",
        "every one goes on by the same command to equal tables; at most the one task in flight "
        "ran again",
    )


def test_no_space_from_any_call_on(
    drivers: DriverProcesses, tiny: Tiny, tmp_path: Path, size: Size, witness: Witness
) -> None:
    want, names = tiny
    points = [at for at, name in enumerate(names, 1) if name in ("write", "create", "mkdir")]
    every = points[:: size(-(-len(points) // 3), 1)]
    for batch in batches(every):
        folders = [tmp_path / f"{at}" for at in batch]
        for folder, at in zip(folders, batch, strict=True):
            armed = fault(folder, "full", at)
            process = drivers.start(drive, folder, armed, BOTH, "fake_trial", TINY)
            process.join(60)
            said = output(folder)
            assert process.exitcode == 2, said
            error = [line for line in said.splitlines() if line.startswith("error: ")]
            assert len(error) == 1 and "Traceback" not in said, said
            whole_or_absent(folder)
        recover(drivers, folders, want, 1)
    witness(
        7,
        f"no space from the k-th write, new file or folder on, k = 1 to {len(points)}, "
        f"{len(every)} of them",
        "exit 2 and one sentence with path and bytes; nothing but whole files under final names; "
        "equal tables once there is space",
    )


def counted(folder: Path, calls: Path) -> None:
    """Run the tiny study and write every call to the disk into a file."""
    file = os.open(calls, os.O_WRONLY | os.O_CREAT)
    drive(folder, {"FAULT_ROOT": str(folder), "FAULT_COUNT": str(file)}, BOTH, "fake_trial", TINY)


def recover(
    drivers: DriverProcesses, folders: list[Path], want: list[pd.DataFrame], again: int
) -> None:
    """Go on in each folder, and compare with the tables of an undisturbed study."""
    processes = [drivers.start(drive, folder, {}, BOTH, "fake_trial", TINY) for folder in folders]
    for folder, process in zip(folders, processes, strict=True):
        process.join(60)
        assert process.exitcode == 0, f"{folder.name}: {output(folder)}"
        for one, other in zip(tables(folder), want, strict=True):
            pd.testing.assert_frame_equal(one, other)
        # Two trials, one run, the hierarchy.
        assert len(starts(folder)) == 4
        assert starts(folder).total() <= 4 + again, folder.name
        left = [path for path in folder.rglob("*.tmp")]
        assert not left, f"{folder.name} leaves {left}"


def tables(folder: Path) -> list[pd.DataFrame]:
    """Read every table of a study."""
    return [
        records.read(folder / f"data/{name}.parquet", schema) for name, schema in TABLES.items()
    ]


def whole_or_absent(folder: Path) -> None:
    """Assert that every table that has its final name can be read."""
    for name, schema in TABLES.items():
        if (path := folder / f"data/{name}.parquet").exists():
            records.read(path, schema)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group(
    drivers: DriverProcesses,
    whole: pd.DataFrame,
    tmp_path: Path,
    size: Size,
    witness: Witness,
    number: signal.Signals,
) -> None:
    draw, longest = random.Random(int(number)), 0.0
    rounds = size(1, 12)
    for one in range(rounds):
        folder = tmp_path / f"{one}"
        process = drivers.start(drive, folder, {"FAKE_SECONDS": "0.1"})
        until(lambda folder=folder: starts(folder).total() > 0)
        time.sleep(draw.uniform(0, 1.5))
        begun = time.monotonic()
        os.killpg(process.pid, number)
        process.join(30)
        longest = max(longest, time.monotonic() - begun)
        assert process.exitcode == 128 + number, output(folder)
        kept = "what is finished is kept, the same command resumes"
        assert output(folder).splitlines()[-1] == f"sweep: ended by {number.name}; {kept}"
        again = drivers.start(drive, folder, {})
        again.join(60)
        assert again.exitcode == 0, output(folder)
        pd.testing.assert_frame_equal(trials(folder)[KEYS], whole)
        assert starts(folder).total() <= TRIALS + 1
    witness(
        5,
        f"{number.name} to the group of the driver, {rounds} times at random",
        f"ended after {longest:.1f} s at most, exit {128 + number}; the same rows after going on",
    )


def test_a_clock_that_leaps(
    drivers: DriverProcesses, whole: pd.DataFrame, tmp_path: Path, size: Size, witness: Witness
) -> None:
    if not drivers.faults:
        pytest.skip("no C compiler")
    rounds = size(1, 6)
    for one in range(rounds):
        folder = tmp_path / f"{one}"
        leaping = {"CLOCK_STEP": "3600", "FAKE_SECONDS": "0.1"}
        process = drivers.start(drive, folder, leaping)
        until(lambda folder=folder, one=one: starts(folder).total() > 3 * one)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        again = drivers.start(drive, folder, leaping)
        again.join(60)
        assert again.exitcode == 0, output(folder)
        found = trials(folder)
        pd.testing.assert_frame_equal(found[KEYS], whole)
        assert (found["seconds"] >= 0).all()
        epochs = records.read(folder / "data/sweep/digits/epochs.parquet", schemas.EPOCHS)
        assert (epochs["seconds"] >= 0).all()
    witness(
        11,
        f"the wall clock leaps by an hour, forth or back, twice a second; killed and gone on, "
        f"{rounds} times",
        "nothing lost, the same rows in the same order, no negative duration",
    )


def test_many_starts_at_once(
    drivers: DriverProcesses, tmp_path: Path, size: Size, witness: Witness
) -> None:
    rounds, count, longest = size(1, 20), size(3, 10), 0.0
    section, seconds = {"trials_per_cell": 1}, {"FAKE_SECONDS": "1.5"}
    for one in range(rounds):
        folder = tmp_path / f"{one}"
        gate = drivers.context.Barrier(count)
        all_of_them = [drivers.start(gated, gate, folder, seconds, section) for _ in range(count)]
        begun = time.monotonic()
        until(lambda: sum(one.exitcode is not None for one in all_of_them) == count - 1)  # noqa: B023
        longest = max(longest, time.monotonic() - begun)
        [runner] = [one for one in all_of_them if one.exitcode is None]
        ended = [one.exitcode for one in all_of_them if one is not runner]
        assert ended == [2] * (count - 1), output(folder)
        assert output(folder).count(f"already running here (pid {runner.pid} on ") == count - 1
        runner.kill()
        runner.join()
        again = drivers.start(drive, folder, {}, ("sweep",), "fake_trial", section)
        again.join(60)
        assert again.exitcode == 0, "a lock without a holder held"
        assert len(trials(folder)) == 3
    witness(
        9,
        f"{count} starts of one study at once, {rounds} rounds; the one that ran was then killed",
        f"one ran, the others were gone after {longest:.1f} s at most and named its pid and host; "
        "the next start ran without any step by hand",
    )


def gated(gate: Any, folder: Path, environment: dict[str, str], section: dict[str, Any]) -> None:
    """Start a sweep in the same instant as the others."""
    gate.wait()
    drive(folder, environment, ("sweep",), "fake_trial", section)
