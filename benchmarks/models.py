"""Whole classifiers of about 45,000 parameters on 28x28 grey images: what they cost and reach.

A step's time and memory, the error of invariance under quarter turns, and the accuracy each
reaches in the same training time (`race.py` has the recipe). What is measured is appended to a
file as it comes: the same command resumes after an interruption, and ``--table`` prints what is
there. The table of docs/models.md::

    GSA_DATA=... python benchmarks/models.py --seeds 1 2 3 --minutes 4

`GSA_DATA` names the folder that holds ``mnist/``, as in docs/data.md. Learning rates were chosen
on validation images: ``--tune 0.002 0.005 0.01 --minutes 1`` prints such runs, and keeps none.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from attention import peak_bytes
from measurement_origin import commit
from race import BATCH, race, score, turned_digits
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import (
    build_model,
    count_parameters,
    invariance_error,
    solve_channels,
)

PARAMETERS, SIDE = 45_000, 28
GSA = {"model": "gsa", "depth": 2, "positional": "relative"}
PIXELS = {**GSA, "tokens": "pixel", "positional": "rotary", "window": 5}
# Arguments of build_model, learning rate, images of a timed step.
CONTESTANTS: dict[str, tuple[dict[str, Any], float, int]] = {
    "plain ViT, 4x4 patches": ({"model": "vit", "depth": 4, "num_heads": 4}, 0.003, BATCH),
    "G-CNN, C4": ({"model": "gcnn", "group": "C4", "depth": 3}, 0.01, BATCH),
    "G-CNN, D4": ({"model": "gcnn", "group": "D4", "depth": 3}, 0.01, BATCH),
    "gsa, stem, C4": ({**GSA, "group": "C4", "tokens": "stem", "patch_size": 4}, 0.003, BATCH),
    "gsa, stem, D4": ({**GSA, "group": "D4", "tokens": "stem", "patch_size": 4}, 0.003, BATCH),
    "gsa, 4x4 patches, C4": ({**GSA, "group": "C4", "tokens": "patch"}, 0.003, BATCH),
    "gsa, 4x4 patches, D4": ({**GSA, "group": "D4", "tokens": "patch"}, 0.003, BATCH),
    "gsa, pixels, C4": ({**PIXELS, "group": "C4"}, 0.003, 8),
    "gsa, pixels, D4": ({**PIXELS, "group": "D4"}, 0.003, 8),
}
Row = dict[str, Any]


def build(name: str, side: int) -> nn.Module:
    """The contestant, its width solved for the budget of parameters."""
    arguments = {**CONTESTANTS[name][0], "image_size": side}
    return build_model(**arguments, channels=solve_channels(PARAMETERS, **arguments))


def cost(name: str, rounds: int) -> Row:
    """Parameters, time and peak memory of a training step, error under quarter turns."""
    torch.manual_seed(0)
    model, batch = build(name, SIDE), CONTESTANTS[name][2]
    images, labels = torch.rand(batch, 1, SIDE, SIDE), torch.arange(batch) % 10
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    step()  # the moments of the optimizer are there from the first step on
    peak, seconds = peak_bytes(step), []
    for _ in range(rounds):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {
        "parameters": count_parameters(model),
        "batch": batch,
        "step_ms": 1000 * statistics.median(seconds),
        "fastest_step_ms": 1000 * min(seconds),
        "peak_mb": peak / 1e6,
        "error": _quarter_turn_error(model.eval(), images),
    }


@torch.no_grad()
def _quarter_turn_error(model: nn.Module, images: Tensor) -> float:
    """Invariance error of the logits, the mean over the three quarter turns."""
    logits = model(images)
    turned = (model(torch.rot90(images, k, (-2, -1))) for k in (1, 2, 3))
    return statistics.mean(invariance_error(logits, moved) for moved in turned)


def accuracy(name: str, seed: int, minutes: float, tuning: float | None = None) -> Row:
    """One race of one contestant; the test is opened at its end, and not to tune."""
    torch.manual_seed(seed)
    pictures = turned_digits()
    model, rate = build(name, pictures.side), tuning or CONTESTANTS[name][1]
    found = race(model, pictures, learning_rate=rate, seconds=60 * minutes, seed=seed)
    row = {"seed": seed, "minutes": minutes, "source": pictures.source, "rate": rate, **found}
    return row if tuning else {**row, "test": score(model, pictures.test)[0]}


def rows_of(file: Path) -> list[Row]:
    """What was measured before."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def keep(file: Path, row: Row) -> None:
    """Append a row, with where and from what it was measured."""
    versions = {"commit": commit(), "torch": torch.__version__, "python": platform.python_version()}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps({**row, **versions}) + "\n")


def table(rows: list[Row], minutes: float) -> str:
    """The table of docs/models.md."""
    lines = [
        "| model | parameters | ms an image | MB a step | error | epochs | test accuracy | seeds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in CONTESTANTS:
        mine = [row for row in rows if row["model"] == name]
        costs = [row for row in mine if "step_ms" in row]
        races = [row for row in mine if row.get("minutes") == minutes]
        if not costs and not races:
            continue
        cells = 4 * ["-"]
        if costs:
            last, each = costs[-1], costs[-1]["step_ms"] / costs[-1]["batch"]
            cells = [f"{last['parameters']:,}", f"{each:.2f}", f"{last['peak_mb']:.0f}"]
            cells.append(f"{last['error']:.0e}")
        tests = [100 * row["test"] for row in races]
        if tests:
            spread = f" ± {statistics.stdev(tests):.1f}" if len(tests) > 1 else ""
            cells.append(f"{statistics.mean(row['epochs'] for row in races):.0f}")
            cells += [f"{statistics.mean(tests):.1f} %{spread}", str(len(tests))]
        else:
            cells += ["-", "-", "0"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=4, help="of training, on one core")
    parser.add_argument("--rounds", type=int, default=9, help="timed steps")
    parser.add_argument("--results", type=Path, default=Path(".state/benchmarks/models.jsonl"))
    parser.add_argument("--tune", type=float, nargs="+", help="learning rates; nothing is kept")
    parser.add_argument("--table", action="store_true", help="print what is there, measure nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.tune:
        for name in asked.models:
            for rate in asked.tune:
                row = accuracy(name, 0, asked.minutes, rate)
                print(f"{name}, {rate:g}: validation {100 * row['validation']:.1f} %", flush=True)
        return
    known = {(row["model"], row.get("seed"), row.get("minutes")) for row in rows_of(asked.results)}
    todo = [(name, None) for name in asked.models]
    todo += [(name, seed) for seed in asked.seeds for name in asked.models]
    for name, seed in () if asked.table else todo:
        if (name, seed, asked.minutes if seed is not None else None) in known:
            continue
        row = cost(name, asked.rounds) if seed is None else accuracy(name, seed, asked.minutes)
        keep(asked.results, {"model": name, **row})
        print(name, row, flush=True)
    print(table(rows_of(asked.results), asked.minutes))


if __name__ == "__main__":
    main()
