"""Many starts of one study in the same instant: one of them runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver_processes import DriverProcesses, drive, output, trials, until

Size = Callable[[int, int], int]


Witness = Callable[[int, str, str], None]


def test_many_starts_at_once(
    drivers: DriverProcesses, tmp_path: Path, size: Size, witness: Witness
) -> None:
    rounds, count, longest = size(1, 20), size(4, 10), 0.0
    for one in range(rounds):
        folder = tmp_path / f"{one}"
        gate = drivers.context.Barrier(count)
        section = {"trials_per_cell": 1}
        seconds = {"FAKE_SECONDS": "1.5"}
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
