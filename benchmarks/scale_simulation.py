"""What saturates first as a study grows: a simulation with recorded trial times.

`python benchmarks/scale_simulation.py [trials.parquet]` prints the tables of docs/scaling.md. Trial
times are drawn from those recorded of a study (by default benchmarks/trial_seconds.csv) and scaled
to a mean; the driver's milliseconds a trial are those that benchmarks/sweep.py measures. The driver
is one queue: it proposes, hands out and commits one trial at a time. With `tpe` a cell proposes in
generations, each of which waits for the end of the one before.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.study.schema import GENERATION

RECORDED = Path(__file__).with_name("trial_seconds.csv")


@dataclass(frozen=True)
class Study:
    """How much is to be done, on what, and what a trial costs the driver."""

    gpus: int
    trials: int
    cells: int
    mean_seconds: float
    driver_ms: float
    in_generations: bool = True
    on_each: int = 1  # trials that share a GPU

    @property
    def slots(self) -> int:
        """Trials at once."""
        return self.gpus * self.on_each


def recorded(path: Path) -> np.ndarray:
    """Read the seconds of recorded trials, scaled to a mean of one."""
    if path.suffix == ".parquet":
        from pipeline.results import records, schemas

        seconds = records.read(path, schemas.TRIALS)["seconds"].dropna().to_numpy()
    else:
        seconds = np.loadtxt(path)
    return np.asarray(seconds / seconds.mean())


def simulate(study: Study, times: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Run a study of imagined trials; return what was busy for how much of it.

    Returns
    -------
    dict
        `hours` of the whole, and the shares of it in which GPUs and driver worked; `before_tail`:
        the share in which GPUs worked until the last trial began.
    """
    draw = np.random.default_rng(seed)
    seconds = study.mean_seconds * draw.choice(times, study.trials)
    cells = Cells(study)
    ends: list[tuple[float, int]] = []  # of running trials: when, and whose cell
    now = driver_free = driver_busy = 0.0
    idle, started, begun = study.slots, 0, np.zeros(study.trials)
    while started < study.trials or ends:
        while idle and started < study.trials and (cell := cells.next()) is not None:
            driver_free = max(driver_free, now) + study.driver_ms / 1000
            driver_busy += study.driver_ms / 1000
            begun[started] = driver_free
            heapq.heappush(ends, (driver_free + seconds[started], cell))
            idle, started = idle - 1, started + 1
        now, cell = heapq.heappop(ends)
        idle += 1
        cells.finish(cell)
    last = float(begun.max())
    worked = float(np.clip(np.minimum(begun + seconds, last) - begun, 0, None).sum())
    return {
        "hours": now / 3600,
        "gpus": float(seconds.sum()) / (study.slots * now),
        "driver": driver_busy / now,
        "before_tail": worked / (study.slots * last) if last else 1.0,
    }


class Cells:
    """Which cells may start a trial: in turn, and not before their last generation has ended."""

    def __init__(self, study: Study) -> None:
        share, rest = divmod(study.trials, study.cells)
        self.left = [share + (cell < rest) for cell in range(study.cells)]
        self.width = GENERATION if study.in_generations else study.trials
        self.begun = [0] * study.cells
        self.ended = [0] * study.cells
        self.ready = deque(cell for cell in range(study.cells) if self.left[cell])
        self.waiting: set[int] = set()

    def next(self) -> int | None:
        """Start a trial of the next cell; None when all wait."""
        while self.ready:
            cell = self.ready.popleft()
            if self.begun[cell] - self.begun[cell] % self.width > self.ended[cell]:
                self.waiting.add(cell)
                continue
            self.begun[cell] += 1
            self.left[cell] -= 1
            if self.left[cell]:
                self.ready.append(cell)
            return cell
        return None

    def finish(self, cell: int) -> None:
        """End a trial of a cell, which may let its next generation begin."""
        self.ended[cell] += 1
        if cell in self.waiting and self.ended[cell] >= self.begun[cell]:
            self.waiting.remove(cell)
            self.ready.append(cell)


def table(studies: Sequence[Study], times: np.ndarray) -> str:
    """Simulate studies and write a line for each."""
    lines = [
        "| GPUs | trials | cells | s a trial | proposals | hours | GPUs busy | driver busy |",
        "|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for study in studies:
        result = simulate(study, times)
        how = f"generations of {GENERATION}" if study.in_generations else "at once"
        lines.append(
            f"| {study.gpus:,} | {study.trials:,} | {study.cells} | {study.mean_seconds:g} | "
            f"{how} | {result['hours']:.1f} | {result['gpus']:.0%} | "
            f"{result['driver']:.0%} |"
        )
    return "\n".join(lines)


def few(times: np.ndarray, ms: float) -> str:
    """Simulate the studies of 64 and of 720 trials on few GPUs, each shared or not."""
    lines = [
        "| GPUs | trials on each | cells x trials | GPUs busy | until the last trial begins |",
        "|---:|---:|---:|---:|---:|",
    ]
    for cells, each in ((8, 8), (24, 30)):
        for gpus, on_each in ((1, 1), (2, 1), (4, 1), (8, 1), (1, 8), (4, 8)):
            study = Study(gpus, cells * each, cells, 600, ms, on_each=on_each)
            found = simulate(study, times)
            lines.append(
                f"| {gpus} | {on_each} | {cells} x {each} | {found['gpus']:.0%} | "
                f"{found['before_tail']:.1%} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recorded", nargs="?", type=Path, default=RECORDED)
    parser.add_argument("--driver-ms", type=float, default=40.0)
    asked = parser.parse_args()
    times, ms = recorded(asked.recorded), asked.driver_ms
    spread = f"{np.quantile(times, 0.05):.2f} to {np.quantile(times, 0.95):.2f} of the mean"
    print(f"{len(times)} recorded times, 90 % of them {spread}; {ms:g} ms of the driver a trial.")
    print("\nFew GPUs, trials of ten minutes:\n")
    print(few(times, ms))
    print("\nGrowing, trials of ten minutes:\n")
    sizes = (8, 64, 250, 1000, 4000)
    print(table([Study(gpus, 100 * gpus, 100, 600, ms) for gpus in sizes], times))
    print("\nA thousand GPUs and 100,000 trials: shorter trials, fewer cells, either proposal\n")
    cases = [
        Study(1000, 100_000, cells, seconds, ms, how)
        for how in (True, False)
        for cells, seconds in ((18, 600), (100, 600), (200, 600), (200, 60), (200, 20))
    ]
    print(table(cases, times))


if __name__ == "__main__":
    main()
