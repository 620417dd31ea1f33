"""All that is measured on a GPU, in at most 8 minutes: ``python benchmarks/gpu.py --out DIR``.

Sections run in order, each within a time of its own. What a section has found is written to
``DIR/<number>-<name>.json`` when it ends, and printed as a table. docs/gpu.md says what they are.
Needs torch, numpy, jaxtyping and safetensors alone, and no network.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

# A machine that is lent has a copy of the files and no installation.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gpu_correctness import correctness
from gpu_digits import NETWORKS, digits
from gpu_layers import bandwidth, layers
from gpu_models import models
from measurement_origin import origin

Row = dict[str, Any]
WRONG, CUT_SHORT = 1, 3  # exit status, the first before the second


@dataclass(frozen=True)
class Section:
    """Rows of one kind, and the seconds that they may take."""

    number: int
    rows: Callable[[argparse.Namespace], Iterator[Row]]
    seconds: float

    @property
    def name(self) -> str:
        """The name of the function that measures."""
        return self.rows.__name__


@dataclass
class Result:
    """What a section has found, and how it ended."""

    section: str
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    cut_short: bool = False

    @property
    def status(self) -> int:
        """0 if it is whole and nothing in it is wrong."""
        if self.error or any(row.get("error") or row.get("ok") is False for row in self.rows):
            return WRONG
        return CUT_SHORT if self.cut_short else 0


def environment(asked: argparse.Namespace) -> Iterator[Row]:
    """Section 1: the card, its driver, and the versions of what is used."""
    row: Row = {name: importlib.metadata.version(name) for name in ("numpy", "jaxtyping")}
    row |= {"safetensors": importlib.metadata.version("safetensors"), "cpus": os.cpu_count()}
    row |= {"cuda": torch.version.cuda, "data_sheet_gb_s": bandwidth(asked.device)}
    if asked.device.type == "cuda":
        properties = torch.cuda.get_device_properties(asked.device)
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        with contextlib.suppress(OSError):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            row["driver"] = done.stdout.strip()
        row["gib"] = properties.total_memory / 2**30
        row["processors"] = properties.multi_processor_count
        row["cudnn"] = torch.backends.cudnn.version()
    yield row


SECTIONS = (
    Section(1, environment, 10),
    Section(2, correctness, 75),
    Section(3, layers, 130),
    Section(4, models, 90),
    Section(5, digits, 175),
)


class OutOfTime(BaseException):
    """No `Exception`: a section that keeps errors as rows must not keep this."""


def measured(section: Section, asked: argparse.Namespace) -> Result:
    """The rows of a section, up to its error or to the end of its time."""
    result, start = Result(section.name), time.perf_counter()
    made_with = origin(asked.device) | ({"commit": asked.commit} if asked.commit else {})

    def end(*_: object) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, end)
    timer = signal.setitimer(signal.ITIMER_REAL, 0 if asked.quick else section.seconds)
    try:
        for row in section.rows(asked):
            result.rows.append({**row, **made_with})
    except OutOfTime:
        result.cut_short = True
    except Exception as error:  # the next section may do better
        traceback.print_exc()
        result.error = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)
    result.seconds = time.perf_counter() - start
    return result


def keep(folder: Path, section: Section, result: Result) -> None:
    """Write a section's file, aside and renamed."""
    file = folder / f"{section.number}-{section.name}.json"
    aside = file.with_suffix(".tmp")
    aside.write_text(json.dumps({**vars(result), "status": result.status}, indent=1) + "\n")
    os.replace(aside, file)


def table(result: Result) -> str:
    """The rows, without the columns that are the same in all, and how the section ended."""
    columns = list(dict.fromkeys(name for row in result.rows for name in row))
    fixed = ("device", "torch", "python", "commit")
    shown = [name for name in columns if name not in fixed]
    lines = [f"\n## {result.section}, {result.seconds:.0f} s\n"]
    if result.rows:
        lines += [", ".join(f"{name} {result.rows[0][name]}" for name in fixed) + "\n"]
        lines += ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
        lines += ["| " + " | ".join(_cell(row.get(x)) for x in shown) + " |" for row in result.rows]
    if result.error:
        lines.append(f"\nThe section failed: {result.error}")
    if result.cut_short:
        lines.append("\nThe section was cut short: its time was up.")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [str(word) for section in SECTIONS for word in (section.number, section.name)]
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="small sizes, few cases, any time")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION")
    parser.add_argument("--skip", nargs="+", choices=names, default=[], metavar="SECTION")
    parser.add_argument("--data", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--peers", type=Path, help="folder with the published code of GE-ViT")
    parser.add_argument("--tf32", action="store_true", help="train on digits by TF32 as well")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training on digits")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=NETWORKS[:1], help="trained on digits"
    )
    parser.add_argument("--commit", help="of files that are in no repository")
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: got 'cuda', and torch finds no GPU here; accepts 'cpu'")
    for name in ("data", "peers"):
        folder = getattr(asked, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name}: got {str(folder)!r}, which is no folder")
    asked.device = torch.device(asked.device)
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


def main(arguments: list[str] | None = None) -> int:
    """Run the sections that are asked for; 0 if all are whole and nothing is wrong."""
    asked = parsed(arguments)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    statuses = {0}
    for section in SECTIONS:
        words = {str(section.number), section.name}
        if not words & set(asked.only) or words & set(asked.skip):
            continue
        result = measured(section, asked)
        keep(asked.out, section, result)
        print(table(result), flush=True)
        statuses.add(result.status)
    return WRONG if WRONG in statuses else max(statuses)


if __name__ == "__main__":
    sys.exit(main())
