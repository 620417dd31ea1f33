"""Time and memory of the report at scale: `python benchmarks/report.py [fraction of full size]`.

Full size is 10^6 epoch rows, 10^5 trials, 10^4 runs of 60 made-up cells; rows come from the tests'
generator, made in a process of their own. Prints one line of JSON. Memory is what the process of
the report and those that draw hold together, shared pages counted once (Linux's PSS), read twice
a second from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))

CELLS, RUNS, TRIALS, EPOCHS = 60, 10_000, 100_000, 1_000_000


def shape(share: float) -> Any:
    """Return a study of sixty cells of the wanted size."""
    import synthetic

    return synthetic.Shape(
        groups=("C1", "C2", "C4", "C8", "D4"),
        encodings=("none", "absolute", "relative", "rotary"),
        depths=(1, 2, 4),
        seeds=range(1000, 1000 + max(1, round(share * RUNS / CELLS))),
        trials=max(1, round(share * TRIALS / CELLS)),
        epochs=max(1, EPOCHS // RUNS),
    )


def make(folder: Path, share: float) -> None:
    """Write the rows. The report reads no epochs of the search: one each is enough."""
    import synthetic

    every = synthetic._epochs
    synthetic._epochs = lambda key, stage, *rest: (
        every(key, stage, *rest) if stage == "confirm" else []
    )
    synthetic.write_study(folder, shape(share))


def watched(target: Callable[..., None], *arguments: Any) -> int:
    """Run a function in a process of its own; return the most that it and those below it held.

    In bytes. This process looks on: where a thread of the watched process did, that process would
    fork, to draw, while another of its threads may hold a lock, and its child could wait for ever.

    Raises
    ------
    SystemExit
        The function failed.
    """
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    most = 0
    while process.is_alive():
        most = max(most, sum(map(_held, _family(process.pid))))
        process.join(0.5)
    if process.exitcode:
        raise SystemExit(f"it failed with exit code {process.exitcode}")
    return most


def _family(pid: int | None) -> list[int]:
    """Return a process and all below it."""
    found = [] if pid is None else [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def report(folder: Path) -> None:
    """Report the study of a folder, and write down how many seconds that took."""
    from pipeline.report.load import Settings
    from pipeline.report.stage import build

    start = time.monotonic()
    build(Settings("digits"), folder / "data", folder / "reports")
    (folder / "seconds").write_text(str(time.monotonic() - start))


def main() -> None:
    """Write a study, report it, print what it took."""
    from pipeline.results.provenance import provenance

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("share", nargs="?", type=float, default=1.0, help="of the full size")
    share = parser.parse_args().share
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watched(make, folder, share)
        made = _processor_seconds()
        most = watched(report, folder)
        rows = shape(share)
        print(json.dumps({
            "commit": provenance({}, None)["git_commit"],
            "runs": len(rows.seeds) * CELLS, "trials": rows.trials * CELLS,
            "epoch_rows": len(rows.seeds) * CELLS * rows.epochs,
            "seconds": round(float((folder / "seconds").read_text()), 1),
            "processor_seconds": round(_processor_seconds() - made, 1),
            "page_bytes": (folder / "reports" / "index.html").stat().st_size,
            "memory_bytes": most,
        }))  # fmt: skip


def _processor_seconds() -> float:
    """Processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
