"""A study in the current folder whose trials cost nothing, for tests of sweep and confirm.

Run as a script it does the stage that its arguments name, in a process that tests may kill.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.confirm import stage as confirm
from pipeline.confirm.measures.predictions import pack
from pipeline.dataset import Dataset, Split
from pipeline.execution import run_stage as stage
from pipeline.execution.tasks import Context, Task, WorkFunction
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep

CARD = {
    "name": "digits",
    "image_shape": [1, 8, 8],
    "classes": 10,
    "counts": {"train": {"total": 20}, "test": {"total": 3}},
}


def study(**sweep_section: Any) -> Params:
    """A small study of three cells and four trials; keywords change its sweep section."""
    return Params.model_validate(
        {
            "study": "fake",
            "prepare": {
                "datasets": ["digits"],
                "seed": 0,
                "validation_fraction": 0.15,
                "test_fraction": 0.25,
            },
            "sweep": {
                "seed": 0,
                "model": ["gsa"],
                "group": ["C1", "C4", "D4"],
                "positional": ["relative"],
                "depth": [1],
                "tokens": ["stem"],
                "architecture": {
                    "form": "framewise",
                    "heads": 4,
                    "window": None,
                    "encoding": "auto",
                },
                "match": None,
                "trials_per_cell": 4,
                "epochs": 2,
                "batch_size": 8,
                "sampler": "tpe",
                "search_space": {
                    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
                    "channels": {"choices": [8, 12]},
                },
                **sweep_section,
            },
            "confirm": {"seeds": [101, 102], "angles": 8, "layer_images": 4, "hierarchy_seeds": 1},
            "report": {"confidence": 0.95, "baseline": {"group": "C1", "positional": "relative"}},
            "resources": {
                "workers": 2,
                "cpus_per_trial": 1,
                "gpus_per_trial": 0,
                "trial_timeout_seconds": 60,
            },
        }
    )


PIXELS = np.array([0.2, 0.4, 0.6], dtype=np.float32).reshape(3, 1, 1, 1)


@dataclass(frozen=True)
class FakeData:
    """What configurations need to know of a data set, and three test images of one pixel."""

    train: None = None
    validation: None = None
    test: Split = field(default_factory=lambda: Split(PIXELS, np.array([4, 5, 6])))
    test_turned: None = None
    in_channels: int = 1
    num_classes: int = 10
    image_size: int = 8
    background: float = 0


def small_data() -> Dataset:
    """Sixteen images of noise, for real steps."""
    draw = np.random.default_rng(0)
    split = Split(draw.random((16, 1, 8, 8), dtype=np.float32), np.arange(16) % 10)
    card = {"image_shape": [1, 8, 8], "classes": 10, "mean": [0.5], "std": [0.3]}
    return Dataset("digits", split, split, card={**card, "counts": {"test": {"total": 40}}})


def fake_load(folder: Path, splits: tuple[str, ...] = (), *, verify: bool = False) -> FakeData:
    """Stand in for `load_dataset`; note which splits were asked for."""
    with Path("opened.txt").open("a") as file:
        file.write(f"{folder.name} {' '.join(splits)}\n")
    return FakeData()


def prepare_folder() -> None:
    """Write what `prepare` would, as far as sweep and confirm look at it."""
    folder = Path("data/prepare/digits")
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".card-{os.getpid()}"  # several starts at once read it
    aside.write_text(json.dumps(CARD))
    aside.replace(folder / "card.json")


def fake_row(config: Mapping[str, Any]) -> dict[str, Any]:
    """A row that depends on the configuration alone."""
    accuracy = 1 - 40 * abs(config["learning_rate"] - 0.004) - config["seed"] / 1e5
    return {
        "status": "completed",
        "reason": None,
        "validation_accuracy": accuracy,
        "validation_loss": 1 - accuracy,
        "best_epoch": 1,
        "epochs": config["epochs"],
        "params": 100 * config["channels"],
        "flops": 1000,
        "seconds": 0.0,
        "peak_memory_bytes": 1,
        "device": "cpu",
    }


def fake_epochs(context: Context, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Report every epoch of a configuration."""
    for epoch in range(1, config["epochs"] + 1):
        context.report({"epoch": epoch, "train_loss": 1 / epoch, "seconds": 0.0})
    return context.epochs


def note_start(task: Task) -> None:
    """Leave a trace of an execution that survives whatever happens to the process."""
    with Path(os.environ.get("FAKE_STARTS", "starts.txt")).open("a") as file:
        file.write(f"{task.key}\n")


def fake_trial(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Do a trial in no time, or in as long as FAKE_SECONDS says."""
    note_start(task)
    config = task.payload["configuration"]
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    return {"row": fake_row(config), "epochs": list(fake_epochs(context, config))}


def faulty_trial(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Fail in the way of the cell's group: an error, NaN; D4 kills its worker and hangs, once."""
    value = fake_trial(task, data, context)
    group = task.payload["configuration"]["group"]
    if group == "C1":
        raise ValueError("this cell always fails")
    if group == "C4":
        value["row"]["validation_accuracy"] = float("nan")
    if group == "D4" and first_time("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if group == "D4" and first_time("hung"):
        time.sleep(3600)
    return value


def stubborn_trial(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Hang in one trial and take no notice of SIGTERM; do the others."""
    if task.key.endswith("C4-relative-d1-stem 1"):
        # Python lets only its main thread do this, and a worker's tasks run in another.
        ctypes.CDLL(None).signal(signal.SIGTERM, signal.SIG_IGN)
        note_start(task)
        while True:
            time.sleep(0.1)
    return fake_trial(task, data, context)


def first_time(name: str) -> bool:
    """Whether this is asked for the first time in this study."""
    path = Path(os.environ["FAKE_STARTS"]).with_name(name)
    known = path.exists()
    path.touch()
    return not known


def fake_confirmation(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Do a task of confirm in no time."""
    note_start(task)
    if task.payload["kind"] == "hierarchy":
        row = {
            "group": "C1",
            "positional": "none",
            "tokens": "pixel",
            "seed": 0,
            "transformation": "permutation",
            "error": 0.0,
            "expected_symmetric": True,
        }
        return {"row": {"status": "completed"}, "epochs": [], "hierarchy": [row]}
    config = task.payload["configuration"]
    angle = {"angle_degrees": 90.0, "exact": True, "accuracy": 0.5}
    layer = {"layer": "lift", "layer_index": 0, "element": "r90", "error": 0.0}
    return {
        "row": fake_row(config),
        "epochs": list(fake_epochs(context, config)),
        "measures": {"run": {"test_accuracy": 0.5}, "angles": [angle], "layers": [layer]},
        "weights": f"{config['group']} {config['seed']}".encode(),
        "predictions": fake_predictions(config["seed"], task.payload["logits"]),
    }


def fake_predictions(seed: int, logits: bool) -> bytes:
    """What is kept of the three test images of `FakeData`, under two conditions."""
    upright = torch.eye(10)[[4, 5, seed % 10]]
    return pack({"upright": upright}, {"tta_d4": upright[:2]}, torch.tensor([4, 5, 6]), logits)


FUNCTIONS = {
    "fake_trial": fake_trial,
    "faulty_trial": faulty_trial,
    "stubborn_trial": stubborn_trial,
    "fake_confirmation": fake_confirmation,
}


def main() -> None:
    """Do a stage: `fake_study.py sweep FUNCTION [TIMEOUT]`."""
    name, function = sys.argv[1], FUNCTIONS[sys.argv[2]]
    params = study(trials_per_cell=int(os.environ.get("FAKE_TRIALS", "4")))
    changes: dict[str, Any] = {"workers": int(os.environ.get("FAKE_WORKERS", "2"))}
    if len(sys.argv) > 3:
        changes["trial_timeout_seconds"] = float(sys.argv[3])
    params = params.model_copy(update={"resources": params.resources.model_copy(update=changes)})
    run_stage(name, function, params)


def run_stage(name: str, function: WorkFunction, params: Params) -> None:
    """Run a stage in the current folder as its command does, but for the data and the work."""
    module = {"sweep": sweep, "confirm": confirm}[name]
    prepare_folder()
    module.load_dataset = fake_load
    run = getattr(module, name)
    with stage.running_stage(name, params.resources, no_share) as (given, engine):
        run(params.model_copy(update={"resources": given}), engine, function)


def no_share() -> float:
    """Stand in for the probe of a GPU, which a fake study does not ask for."""
    raise AssertionError("a GPU was to be shared")


if __name__ == "__main__":
    # Workers must find the functions under the name of their module, not of __main__.
    import fake_study

    from pipeline.common import errors

    errors.main(fake_study.main)
