"""A sweep of real digits trials on two nodes while driver, workers and nodes are killed at random.

`python tests/chaos/soak.py [TRIALS [SECONDS.csv]]`: a row for docs/reliability.md, and the seconds
of its trials for benchmarks/scale_simulation.py. Nodes are those of nodes.py, so it needs root and
iproute2. Every start of the driver is the study's own command.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml
from driver_processes import at_risk
from nodes import ROOT, Nodes, permitted

from pipeline.common.files import decode_record
from pipeline.results import records, schemas

# Results between two faults, from and to, and how often each kind of fault is drawn.
BETWEEN = (2, 10)
FAULTS = {"worker": 12, "node": 3, "driver": 2}


def study(trials: int) -> dict[str, object]:
    """Ten cells of digits, one epoch a trial."""
    values = yaml.safe_load((ROOT / "studies/digits.yaml").read_text())
    values["sweep"] |= {
        "group": ["C1", "C2", "C4", "D1", "D2"],
        "positional": ["absolute", "relative"],
        "depth": [1],
        "trials_per_cell": trials // 10,
        "epochs": 1,
        "match": {"of": "parameters", "at": 5000},
    }
    values["resources"]["node_wait_seconds"] = 120
    return values


class Soak:
    """The driver, the cluster, and what was done to them."""

    def __init__(self, folder: Path, nodes: Nodes) -> None:
        self.folder, self.nodes = folder, nodes
        self.done: Counter[str] = Counter()
        self.alive = {2, 3}
        self.draw = random.Random(0)
        self.driver, self.at_start = self.start(), 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the sweep."""
        environment = {**os.environ, **self.nodes.environment, "PYTHONPATH": str(ROOT)}
        self.done["starts of the driver"] += 1
        return subprocess.Popen(
            [*self.nodes.inside(), sys.executable, "-m", "pipeline.sweep"],
            cwd=self.folder, env=environment, start_new_session=True,
            stdout=(self.folder / "out.txt").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip

    def finished(self) -> int:
        """Count the results in the journal."""
        found = 0
        for path in self.folder.glob(".state/sweep/*/journal.log"):
            for line in path.read_bytes().splitlines(keepends=True):
                record = decode_record(line) or {}
                found += "result" in record.get("user_attr", {})
        return found

    def disturb(self) -> None:
        """Do a fault, drawn at random, unless it could be the third in one trial."""
        if at_risk((self.folder / "out.txt").read_text()):
            return
        kind = self.draw.choices(list(FAULTS), list(FAULTS.values()))[0]
        if kind == "driver":
            # One that has not begun has nothing to lose.
            if self.finished() == self.at_start:
                return
            self.driver.kill()
            self.driver.wait()
            self.driver, self.at_start = self.start(), self.finished()
        elif kind == "node" and len(self.alive) == 2:
            number = self.draw.choice(sorted(self.alive))
            self.nodes.kill(f"node {number}")
            time.sleep(5)
            self.nodes.add(number)
        elif not self.kill_a_worker():
            return
        self.done[f"kills of a {kind}"] += 1

    def kill_a_worker(self) -> bool:
        """Kill one of the processes that do trials."""
        workers = [
            process
            for parent in self.nodes.processes.values()
            for process in psutil.Process(parent.pid).children(recursive=True)
            if process.is_running() and " ".join(process.cmdline()).startswith("ray::ImplicitFunc")
        ]
        if workers:
            self.draw.choice(workers).send_signal(signal.SIGKILL)
        return bool(workers)

    def run(self, trials: int, limit: float) -> None:
        """Disturb the sweep again and again, by its own pace, until it is complete."""
        begun, due = time.monotonic(), 1
        while self.driver.poll() is None:
            time.sleep(0.2)
            seconds, finished = time.monotonic() - begun, self.finished()
            if seconds > limit:
                raise SystemExit(f"not done after {seconds:.0f} s: {finished} of {trials}")
            if due <= finished < trials:
                time.sleep(self.draw.uniform(0, 2))
                self.disturb()
                due = finished + self.draw.randint(*BETWEEN)
                print(f"{seconds:.0f} s: {finished} of {trials}, {dict(self.done)}", flush=True)
        if self.driver.returncode:
            sys.exit((self.folder / "out.txt").read_text())


def main() -> None:
    """Run the soak and print its row."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if not permitted():
        sys.exit("this needs root, iproute2 and unshare, to make nodes of network namespaces")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(study(trials)))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        prepare = [sys.executable, "-m", "pipeline.prepare"]
        subprocess.run(prepare, cwd=folder, env=environment, check=True)
        nodes = Nodes(folder, {})
        try:
            nodes.add(2)
            nodes.add(3)
            begun = time.monotonic()
            soak = Soak(folder, nodes)
            soak.run(trials, 5400)
            seconds = time.monotonic() - begun
        finally:
            nodes.end()
        table = records.read(folder / "data/sweep/digits/trials.parquet", schemas.TRIALS)
        if len(sys.argv) > 2:
            table["seconds"].dropna().round(3).to_csv(sys.argv[2], index=False, header=False)
        double = table.duplicated(["cell", "trial"]).sum()
        statuses = table["status"].value_counts().to_dict()
        died = table["reason"].fillna("").str.startswith("WorkerDied").sum()
        print("\n| trials | rows | status | double | lost to dead workers | what was done | took |")
        print("|---:|---:|---|---:|---:|---|---:|")
        told = "; ".join(f"{count} {what}" for what, count in sorted(soak.done.items()))
        row = (trials, len(table), statuses, double, died, told, f"{seconds:.0f} s")
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
