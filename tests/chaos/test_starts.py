"""Many starts of one study in the same instant: one of them runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver_processes import DriverProcesses, drive, output, trials, until

Size = Callable[[int, int], int]


Witness = Callable[[int, str, str], None]


def test_ten_starts_at_once(
    drivers: DriverProcesses, tmp_path: Path, size: Size, witness: Witness
) -> None:
    rounds, longest = size(1, 20), 0.0
    for one in range(rounds):
        folder = tmp_path / f"{one}"
        gate = drivers.context.Barrier(10)
        section = {"trials_per_cell": 1}
        seconds = {"FAKE_SECONDS": "1.5"}
        all_ten = [drivers.start(gated, gate, folder, seconds, section) for _ in range(10)]
        begun = time.monotonic()
        until(lambda all_ten=all_ten: sum(one.exitcode is not None for one in all_ten) == 9)
        longest = max(longest, time.monotonic() - begun)
        [runner] = [one for one in all_ten if one.exitcode is None]
        assert [one.exitcode for one in all_ten if one is not runner] == [2] * 9, output(folder)
        assert output(folder).count(f"already running here (pid {runner.pid} on ") == 9
        runner.kill()
        runner.join()
        again = drivers.start(drive, folder, {}, ("sweep",), "fake_trial", section)
        again.join(60)
        assert again.exitcode == 0, "a lock without a holder held"
        assert len(trials(folder)) == 3
    witness(
        9,
        f"ten starts of one study at once, {rounds} rounds; the one that ran was then killed",
        f"one ran, nine were gone after {longest:.1f} s at most and named its pid and host; the "
        "next start ran without any step by hand",
    )


def gated(gate: Any, folder: Path, environment: dict[str, str], section: dict[str, Any]) -> None:
    """Start a sweep in the same instant as the others."""
    gate.wait()
    drive(folder, environment, ("sweep",), "fake_trial", section)
