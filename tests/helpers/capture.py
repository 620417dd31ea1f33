"""Keep what the formats look like: `python tests/helpers/capture.py` after a change of schema.

It does the fake study and leaves its journal, one kept run and its tables under
tests/captured/v<schema version>/, which tests/results/test_captured.py reads ever after.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE.parent)]

import fake_study  # noqa: E402

from pipeline.confirm import stage as confirm  # noqa: E402
from pipeline.execution.engine import InProcess  # noqa: E402
from pipeline.results.schemas import SCHEMA_VERSION  # noqa: E402
from pipeline.sweep import stage as sweep  # noqa: E402


def main() -> None:
    """Capture the formats of this code."""
    target = HERE / "captured" / f"v{SCHEMA_VERSION}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    sweep.provenance = confirm.provenance = lambda params, card: {"captured": True}
    socket.gethostname = lambda: "host"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["GSA_QUIET"] = "1"
        sweep.load_dataset = confirm.load_dataset = fake_study.fake_load
        fake_study.prepare_folder()
        params = fake_study.study(group=["C1", "C4"], trials_per_cell=3)
        sweep.sweep(params, InProcess(), fake_study.fake_trial)
        confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
        for path in Path(".state").rglob("*"):
            if path.name == "journal.log" or path.parent.name == "runs":
                shutil.copy(path, target / path.name)
        for stage in ("sweep", "confirm"):
            for path in Path("data", stage).rglob("*.parquet"):
                shutil.copy(path, target / f"{stage}-{path.name}")
    os.chdir(HERE)


if __name__ == "__main__":
    main()
