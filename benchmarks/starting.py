"""What starting costs: `import gsa_core` compared with `import torch`, and building the kernel.

Fresh processes, alternating, medians: ``python benchmarks/starting.py [--rounds 5]``. The kernel is
built into an empty cache by the first attention that asks for one width of a head, and loaded from
the cache after.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

import torch

ATTEND = """
import time
import torch
from gsa_core import GroupSelfAttention, cyclic_group
layer = GroupSelfAttention(cyclic_group(4), 16, 16, num_heads=2, window=3, method="kernel")
features = torch.rand(1, 16, 4, 8, 8)
begin = time.perf_counter()
layer(features)
print(time.perf_counter() - begin)
"""
CASES = {
    "import torch": "import torch",
    "import torch, then gsa_core": "import torch, gsa_core",
}


def seconds(code: str, environment: Mapping[str, str] = os.environ) -> tuple[float, str]:
    """Run code in a fresh process; return its seconds and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(environment), capture_output=True, text=True
    )
    took = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stderr)
    return took, done.stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    took: dict[str, list[float]] = {name: [] for name in CASES}
    for code in CASES.values():
        seconds(code)  # files into memory
    for _ in range(rounds):
        for name, code in CASES.items():
            took[name].append(seconds(code)[0])
    built, loaded = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "GSA_CORE_CACHE": cache}
            for kept in (built, loaded):
                kept.append(float(seconds(ATTEND, environment)[1]))
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}")
    print("| what | s, median | least | most |\n|---|---:|---:|---:|")
    rows = {**took, "first attention, kernel built": built, "the same, kernel in the cache": loaded}
    for name, values in rows.items():
        print(
            f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |"
        )
    differ = [b - a for a, b in zip(*took.values(), strict=True)]
    print(f"gsa_core adds {statistics.median(differ):.2f} s to torch's import")


if __name__ == "__main__":
    main()
