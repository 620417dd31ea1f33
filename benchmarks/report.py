"""Time and memory of the report at scale: `python benchmarks/report.py [fraction of full size]`.

Full size is 10^6 epoch rows, 10^5 trials, 10^4 runs of 60 made-up cells; rows come from the tests'
generator, made in a process of their own. Prints one line of JSON. Memory is what this process
and those that draw hold together, shared pages counted once (Linux's PSS), read twice a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))

import synthetic

from pipeline.report.load import Settings
from pipeline.report.stage import build
from pipeline.results.provenance import provenance

CELLS, RUNS, TRIALS, EPOCHS = 60, 10_000, 100_000, 1_000_000


def shape(share: float) -> synthetic.Shape:
    """Return a study of sixty cells of the wanted size."""
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
    every = synthetic._epochs
    synthetic._epochs = lambda key, stage, *rest: (
        every(key, stage, *rest) if stage == "confirm" else []
    )
    synthetic.write_study(folder, shape(share))


class Memory(threading.Thread):
    """The most that this process and its children held together, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        """Look again and again."""
        while True:
            children = [child.pid for child in multiprocessing.active_children()]
            self.most = max(self.most, sum(_held(pid) for pid in ("self", *children)))
            time.sleep(0.5)


def _held(pid: int | str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    """Write a study, report it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("share", nargs="?", type=float, default=1.0, help="of the full size")
    share = parser.parse_args().share
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(folder, share))
        maker.start()
        maker.join()
        made = _processor_seconds()
        memory = Memory()
        memory.start()
        start = time.monotonic()
        build(Settings("digits"), folder / "data", folder / "reports")
        taken = time.monotonic() - start
        rows = shape(share)
        print(json.dumps({
            "commit": provenance({}, None)["git_commit"],
            "runs": len(rows.seeds) * CELLS, "trials": rows.trials * CELLS,
            "epoch_rows": len(rows.seeds) * CELLS * rows.epochs,
            "seconds": round(taken, 1), "processor_seconds": round(_processor_seconds() - made, 1),
            "page_bytes": (folder / "reports" / "index.html").stat().st_size,
            "memory_bytes": memory.most,
        }))  # fmt: skip


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
