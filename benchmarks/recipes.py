"""Training recipes for rotated MNIST, compared on validation images; the test is never opened.

``python benchmarks/recipes.py NAME ... --epochs 10 --seeds 1 2`` trains recipes of `RECIPES` with
the pipeline's own loop, on data that `prepare` made with a seed other than 0, and appends a row a
training to the log, failures included. A training that was interrupted resumes from its last
epoch, and one that has a row is not repeated.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.failures import brief, describe
from pipeline.common.files import write_bytes
from pipeline.dataset import Dataset, load_dataset
from pipeline.results.provenance import provenance
from pipeline.search.space import matched_channels
from pipeline.study.hyperparameters import DEFAULTS
from pipeline.training.devices import use_threads
from pipeline.training.loop import Outcome, train
from pipeline.training.training_state import TrainingState

LOG = Path("results/rotated-mnist/validation-log.csv")
COLUMNS = [
    "date", "recipe", "group", "changes", "epochs", "seed", "parameters", "last_accuracy",
    "best_accuracy", "best_epoch", "last_loss", "cpu_seconds", "device", "commit", "failure",
]  # fmt: skip
KEY = ("recipe", "group", "changes", "epochs", "seed")
BASELINE = {
    **DEFAULTS, "model": "staged", "positional": "relative", "depth": 2, "tokens": "trunk",
    "form": "framewise", "heads": 4, "window": None, "window_shape": "auto", "encoding": "auto",
    "patch_size": None, "channels": 16, "augment": "none", "batch_size": 64, "dropout": 0.1,
    "head_dropout": 0.2, "learning_rate": 0.008, "weight_decay": 0.02, "label_smoothing": 0.05,
    "in_channels": 1, "num_classes": 10, "image_size": 28,
}  # fmt: skip
# What a recipe changes of the baseline.
RECIPES: dict[str, dict[str, Any]] = {
    "baseline": {},
    "average 0.995": {"ema": 0.995},
    "kernels 7, gaussian": {"kernel_size": 7, "basis": "gaussian"},
    "kernels 5, gaussian": {"basis": "gaussian"},
    "head dropout 0.4": {"head_dropout": 0.4},
    "drop path 0.1": {"drop_path": 0.1},
    "cosine": {"schedule": "cosine"},
    "step": {"schedule": "step"},
    "batch 128": {"batch_size": 128, "learning_rate": 0.012},
    "turns": {"augment": "turn"},
    "turns, kernels 5, gaussian": {"augment": "turn", "kernel_size": 5, "basis": "gaussian"},
    "turns, kernels 7, gaussian": {"augment": "turn", "kernel_size": 7, "basis": "gaussian"},
    "turns, average 0.995": {"augment": "turn", "ema": 0.995},
    "average, kernels 5, gaussian": {"ema": 0.995, "basis": "gaussian"},
    "average, kernels 7, gaussian": {"ema": 0.995, "basis": "gaussian", "kernel_size": 7},
    "average, drop path 0.1": {"ema": 0.995, "drop_path": 0.1},
    "average, batch 128": {"ema": 0.99, "batch_size": 128, "learning_rate": 0.012},
    "turns, average, kernels 5, gaussian": {"augment": "turn", "ema": 0.995, "basis": "gaussian"},
    "turns, average, kernels 7, gaussian": {
        "augment": "turn", "ema": 0.995, "basis": "gaussian", "kernel_size": 7,
    },
}  # fmt: skip

Row = dict[str, Any]


def changed(name: str, group: str, parameters: int | None) -> Row:
    """What a recipe changes of the baseline; the width, too, where parameters are given."""
    changes = RECIPES[name]
    if parameters is None:
        return changes
    whole = {**BASELINE, **changes, "group": group}
    return {**changes, "channels": matched_channels(whole, "parameters", parameters)}


def rows_of(log: Path) -> list[Row]:
    """The rows of a log; none where there is no log."""
    if not log.exists():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(log: Path, row: Row) -> None:
    """Append a row to a log, which begins with the names of its columns."""
    log.parent.mkdir(parents=True, exist_ok=True)
    new = not log.exists()
    with log.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def trained(config: Row, data: Dataset, state: Path, device: str) -> tuple[Outcome, float]:
    """Train a configuration, from its kept state if there is one; the outcome and CPU seconds."""
    config = {**config, "cuda_graph": True} if device == "cuda" else config
    resume = TrainingState.from_bytes(state.read_bytes()) if state.exists() else None
    before = resume.values["cpu_seconds"] if resume is not None else 0.0
    start = time.process_time()

    def spent() -> float:
        return before + time.process_time() - start

    def keep(snapshot: Callable[[], TrainingState]) -> None:
        found = snapshot()
        values = {**found.values, "cpu_seconds": spent()}
        state.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(state, TrainingState(found.tensors, values).to_bytes())

    def show(epoch: Row) -> None:
        accuracy, loss = epoch["validation_accuracy"], epoch["validation_loss"]
        print(f"  epoch {epoch['epoch']}: {accuracy:.2%}, loss {loss:.4f}", flush=True)

    outcome = train(config, data, device=device, on_epoch=show, on_state=keep, resume=resume)
    return outcome, spent()


def measured(config: Row, data: Dataset, state: Path, device: str) -> Row:
    """What the log says of a training; its failure is a row, too."""
    try:
        outcome, seconds = trained(config, data, state, device)
    except Exception as error:
        return {"failure": brief(describe(error))}
    row, last = outcome.row, outcome.epochs[-1]
    return {
        "parameters": row["params"],
        "last_accuracy": last["validation_accuracy"],
        "best_accuracy": row["validation_accuracy"],
        "best_epoch": row["best_epoch"],
        "last_loss": f"{last['validation_loss']:.5f}",
        "cpu_seconds": round(seconds),
        "device": row["device"],
        "failure": row["reason"],
    }


def opened(folder: Path) -> Dataset:
    """The training and validation images, of a preparation whose test was never looked at."""
    data = load_dataset(folder, ("train", "validation"))
    if data.card.get("seed") == 0:
        raise UserError(
            f"{folder}: was prepared with seed 0, whose test images were read while the network "
            "was designed; set prepare.seed to another number and run `dvc repro prepare`"
        )
    return data


def main() -> None:
    """Train what is asked for and is not in the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--group", default="C4")
    parser.add_argument("--parameters", type=int, help="the width follows; else 16 channels")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--data", type=Path, default=Path("data/prepare/rotated-mnist"))
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--state", type=Path, default=Path(".state/recipes"))
    asked = parser.parse_args()
    if unknown := set(asked.recipes) - set(RECIPES):
        parser.error(f"got {', '.join(sorted(unknown))}; accepts {', '.join(RECIPES)}")
    use_threads(1)
    data = opened(asked.data)
    for seed in asked.seeds:
        for name in asked.recipes or RECIPES:
            run(name, seed, asked, data)


def run(name: str, seed: int, asked: argparse.Namespace, data: Dataset) -> None:
    """Train a recipe with a seed and append its row, unless the log has it."""
    changes = changed(name, asked.group, asked.parameters)
    config = {**BASELINE, **changes, "group": asked.group, "epochs": asked.epochs, "seed": seed}
    values = (name, asked.group, json.dumps(changes), asked.epochs, seed)
    key: Row = dict(zip(KEY, values, strict=True))
    known = [[row[column] for column in KEY] for row in rows_of(asked.log)]
    if [str(key[column]) for column in KEY] in known:
        return
    commit = str(provenance({}, None)["git_commit"])[:12]  # first: it may be refused
    print(f"{name}, {asked.group}, seed {seed}", flush=True)
    width = config["channels"]
    state = asked.state / f"{name}-{asked.group}-{width}-{asked.epochs}-seed{seed}.state"
    found = measured(config, data, state, asked.device)
    append(asked.log, {"date": date.today(), **key, **found, "commit": commit})
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
