"""Time and memory of the report at scale: `python benchmarks/report.py [fraction of full size]`.

Full size is 10^6 epoch rows, 10^5 trials, 10^4 runs of made-up cells; rows come from the tests'
generator. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from synthetic import Shape, write_study

from pipeline.report.build import build
from pipeline.report.load import Settings

CELLS, RUNS, TRIALS, EPOCHS = 60, 10_000, 100_000, 1_000_000


def main() -> None:
    """Write a study, report it, print what it took."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    seeds = max(1, round(share * RUNS / CELLS))
    shape = Shape(
        groups=("C1", "C2", "C4", "C8", "D4"),
        encodings=("none", "absolute", "relative", "rotary"),
        depths=(1, 2, 4),
        seeds=range(1000, 1000 + seeds),
        trials=max(1, round(share * TRIALS / CELLS)),
        epochs=max(1, EPOCHS // RUNS),
    )
    with tempfile.TemporaryDirectory() as folder:
        # Epochs of the search are not read by the report, and would only cost time to make up.
        data = write_study(Path(folder), shape, lambda tables: tables["sweep_epochs"].clear())
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        build(Settings("digits"), data, Path(folder) / "reports")
        page = Path(folder) / "reports" / "index.html"
        print(
            json.dumps(
                {
                    "runs": seeds * CELLS,
                    "trials": shape.trials * CELLS,
                    "epoch_rows": seeds * CELLS * shape.epochs,
                    "seconds": round(time.monotonic() - start, 1),
                    "page_bytes": page.stat().st_size,
                    "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                    "peak_kib_before": before,
                }
            )
        )


if __name__ == "__main__":
    main()
