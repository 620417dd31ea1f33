"""Made-up but plausible rows of a study, written with the pipeline's own schemas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_measures import (
    angles,
    encodings,
    features,
    hierarchy_rows,
    is_exact,
    layers,
    moves,
    rounding,
)

from pipeline.results import records, schemas
from pipeline.study.cells import Cell

Row = dict[str, Any]

PROVENANCE: Row = {
    "schema_version": 6,
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "git_dirty": False,
    "params_sha256": "a" * 64,
    "data_sha256": "b" * 64,
    "python": "3.11.9",
    "torch": "2.13.0",
}


@dataclass(frozen=True)
class Shape:
    """What a made-up study contains."""

    study: str = "digits"
    datasets: Sequence[str] = ("digits",)
    groups: Sequence[str] = ("C1", "C4", "D4")
    encodings: Sequence[str] = ("none", "absolute", "relative")
    depths: Sequence[int] = (1, 2)
    tokens: Sequence[str] = ("stem",)
    augments: Sequence[str] = ("none",)
    training_images: Sequence[int | None] = (None,)
    seeds: Sequence[int] = (101, 102, 103)
    trials: int = 3
    epochs: int = 12
    failing: Sequence[str] = ()  # names of cells whose every trial and run fails
    reason: str = "ValueError: loss is not finite"
    train_images: dict[str, int] = field(default_factory=dict)  # by data set
    seed: int = 0
    provenance: Row = field(default_factory=lambda: dict(PROVENANCE))


def write_study(
    root: Path, shape: Shape, change: Callable[[dict[str, list[Row]]], None] | None = None
) -> Path:
    """Write all Parquet files of a study below `root` and return the data folder.

    `change` may alter the rows of each data set before they are written.
    """
    data = root / "data"
    generator = np.random.default_rng(shape.seed)
    for dataset in shape.datasets:
        tables = dataset_rows(shape, dataset, generator)
        if change is not None:
            change(tables)
        for name, (stage, schema) in FILES.items():
            path = data / stage / folder_name(dataset) / f"{name.split('_')[-1]}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            records.write(path, tables[name], schema, shape.provenance)
    path = data / "confirm" / "hierarchy.parquet"
    records.write(path, hierarchy_rows(shape, generator), schemas.HIERARCHY, shape.provenance)
    return data


FILES = {
    "trials": ("sweep", schemas.TRIALS),
    "sweep_epochs": ("sweep", schemas.EPOCHS),
    "runs": ("confirm", schemas.RUNS),
    "epochs": ("confirm", schemas.EPOCHS),
    "angles": ("confirm", schemas.ANGLES),
    "layers": ("confirm", schemas.LAYERS),
    "confusion": ("confirm", schemas.CONFUSION),
    "calibration": ("confirm", schemas.CALIBRATION),
    "features": ("confirm", schemas.FEATURES),
    "encodings": ("confirm", schemas.ENCODINGS),
    "moves": ("confirm", schemas.MOVES),
    "mistakes": ("confirm", schemas.MISTAKES),
}


def folder_name(dataset: str) -> str:
    """Return a harmless folder for a data set whose name may be a payload."""
    return "".join(c if c.isalnum() else "_" for c in dataset)[:40]


def dataset_rows(
    shape: Shape, dataset: str, generator: np.random.Generator
) -> dict[str, list[Row]]:
    """Return the rows of every table of one data set."""
    tables: dict[str, list[Row]] = {name: [] for name in FILES}
    for key in cell_keys(shape, dataset):
        best, tuned = 0, 0.0
        for trial in range(shape.trials):
            config = _configuration(key, generator)
            level = _upright(key) - 0.03 * generator.random()
            outcome = _outcome(key, shape, level, generator)
            tables["trials"].append({**key, **config, **outcome, "trial": trial, "seed": trial})
            tables["sweep_epochs"] += _epochs(key, "sweep", trial, trial, shape, level, generator)
            if level > tuned:
                best, tuned = trial, level
        for seed in shape.seeds:
            _add_run(tables, key, shape, seed, best, tuned, generator)
    tables["mistakes"] = _mistakes(shape, dataset, tables["runs"], generator)
    return tables


def cell_keys(shape: Shape, dataset: str) -> Iterable[Row]:
    """Return the key columns of every cell."""
    axes = (
        shape.groups, shape.encodings, shape.depths, shape.tokens, shape.augments,
        shape.training_images,
    )  # fmt: skip
    for values in product(*axes):
        cell = Cell("gsa", *values)
        yield {"study": shape.study, "dataset": dataset, **cell.columns()}


def _add_run(
    tables: dict[str, list[Row]], key: Row, shape: Shape, seed: int, trial: int, tuned: float,
    generator: np.random.Generator,
) -> None:  # fmt: skip
    upright = _upright(key) - 0.01 + 0.006 * generator.standard_normal()
    row = {**key, **_configuration(key, generator), "trial": trial, "seed": seed, "split": 0}
    row |= _outcome(key, shape, upright + 0.004, generator)
    row["weights"] = f"data/confirm/{folder_name(key['dataset'])}/weights/cell-seed{seed}"
    if row["status"] == "completed":
        row |= _measured(key, shape, upright, generator)
        row["tuned_validation_accuracy"] = tuned
        tables["epochs"] += _epochs(key, "confirm", trial, seed, shape, upright, generator)
        tables["angles"] += angles(key, seed, upright, generator)
        tables["layers"] += layers(key, seed, generator)
        tables["confusion"] += [
            {**key, "seed": seed, "images": images, "label": label, "predicted": guess, "count": n}
            for images in ("upright", "turned")
            for label, guess, n in ((6, 6, 40), (6, 9, 5), (9, 9, 45))
        ]
        tables["calibration"] += [
            {**key, "seed": seed, "images": images, "bin": place, "count": 1 + place**2,
             "confidence": (place + 0.5) / 15, "accuracy": min(1.0, factor * (place + 0.5) / 15)}
            for images, factor in (("upright", 1.01), ("turned", 0.6))
            for place in range(2, 15)
        ]  # fmt: skip
        tables["moves"] += moves(key, seed, upright, generator)
        if seed == shape.seeds[0]:
            tables["encodings"] += encodings(key, seed, generator)
            tables["features"] += features(key, seed, generator)
    tables["runs"].append(row)


def _mistakes(
    shape: Shape, dataset: str, rows: list[Row], generator: np.random.Generator
) -> list[Row]:
    runs = sum(row["status"] == "completed" for row in rows)
    return [
        {"study": shape.study, "dataset": dataset, "place": place, "image": 3 * place,
         "test_image": 7 * place, "label": 6, "predicted": 9, "label_name": "6",
         "predicted_name": "9", "group": None, "probability": 0.9 - place / 20,
         "wrong_runs": max(runs - place, 1), "runs": runs, "channels": 1, "height": 8, "width": 8,
         "pixels": generator.integers(0, 256, 64, dtype=np.uint8).tobytes()}
        for place in range(10 if runs else 0)
    ]  # fmt: skip


def _upright(key: Row) -> float:
    loss = {"C1": 0.008, "C4": 0.016, "D4": 0.036}.get(key["group"], 0.025)
    loss += {"none": 0.004, "absolute": 0.006}.get(key["positional"], 0.0)
    return 0.995 - loss + 0.004 * min(key["depth"], 3) - 0.004


def _measured(key: Row, shape: Shape, upright: float, generator: np.random.Generator) -> Row:
    exact, mirror = is_exact(key), is_exact(key) and key["group"].startswith("D")
    taught = 0.0 if key["augment"] == "none" else 0.7
    broken = 0.12 + taught + 0.01 * generator.standard_normal()
    averaged = upright if exact else max(broken, 0.5)
    return {
        "test_accuracy": upright,
        "test_accuracy_quarter_turned": upright if exact else broken,
        "test_accuracy_turned": upright - 0.17 if exact else broken + 0.02 * generator.random(),
        "test_accuracy_tta_c4": averaged, "test_accuracy_quarter_turned_tta_c4": averaged,
        "test_accuracy_tta_d4": averaged - 0.03, "test_accuracy_turned_tta_c4": averaged - 0.2,
        "test_accuracy_turned_tta_d4": averaged - 0.25, "balanced_accuracy": upright - 0.01,
        "macro_f1": upright - 0.02, "auroc": min(1.0, upright + 0.01),
        "negative_log_likelihood": 2 * (1 - upright), "asymmetry_share": 0.0 if exact else 0.8,
        "asymmetry_share_turned": 0.3 if exact else 0.85,
        "invariance_error": rounding(generator) if exact else 0.98 + 0.03 * generator.random(),
        "consistency": 1.0 if exact else broken + 0.02,
        "invariance_error_mirror": rounding(generator) if mirror else 0.7,
        "consistency_mirror": 1.0 if mirror else 0.4,
        "invariance_error_turned": 0.4 if exact else 0.9,
        "consistency_turned": 0.8 if exact else 0.3,
        "calibration_error": 0.02 + 0.01 * generator.random(),
        "calibration_error_turned": 0.3 + 0.05 * generator.random(),
        "lie_rotation": 2 * math.exp(0.3 * generator.standard_normal()), "lie_rotation_se": 0.2,
        "lie_rotation_floor": 0.4, "lie_translation": 0.8 + 0.1 * generator.random(),
        "lie_translation_se": 0.1, "lie_translation_floor": 0.1,
        "train_images": key["training_images"] or shape.train_images.get(key["dataset"], 1078),
        "test_images": 450,
    }  # fmt: skip


def _configuration(key: Row, generator: np.random.Generator) -> Row:
    config = {
        "form": "framewise", "window": None, "heads": 4, "encoding": "auto", "channels": 24,
        "feedforward_ratio": 2.0, "dropout": float(0.2 * generator.random()),
        "learning_rate": float(10 ** generator.uniform(-3, -2)),
        "weight_decay": float(10 ** generator.uniform(-4, -1)),
        "label_smoothing": 0.0, "batch_size": 64,
    }  # fmt: skip
    return {**config, "configuration": json.dumps(config, sort_keys=True)}


def _outcome(key: Row, shape: Shape, level: float, generator: np.random.Generator) -> Row:
    order = {"C1": 1, "C4": 4, "D4": 8}.get(key["group"], 6)
    row: Row = {
        "status": "completed", "reason": None, "validation_accuracy": level,
        "validation_loss": 3 * (1 - level), "best_epoch": shape.epochs - 1,
        "epochs": shape.epochs, "params": 29_000 + int(900 * generator.random()),
        "flops": int(4e5 * order * key["depth"]),
        "training_flops": int(1.3e9 * shape.epochs * order * key["depth"]),
        "training_seconds": 0.9 * (2 + order) * key["depth"],
        "seconds": (2 + order) * key["depth"] * (1 + 0.1 * float(generator.random())),
        "training_images_per_second": 1000 / (2 + order) / key["depth"],
        "peak_memory_bytes": int(3e8), "device": "cpu", "precision": "fp32", "execution": "eager",
    }  # fmt: skip
    if key["cell"] in shape.failing:
        row |= {"status": "failed", "reason": shape.reason, "validation_accuracy": None,
                "validation_loss": None, "best_epoch": None}  # fmt: skip
    return row


def _epochs(
    key: Row, stage: str, trial: int, seed: int, shape: Shape, level: float,
    generator: np.random.Generator,
) -> list[Row]:  # fmt: skip
    rows = []
    for epoch in range(shape.epochs):
        left = math.exp(-epoch / (1.5 + 0.3 * key["depth"]))
        rows.append({
            **key, "stage": stage, "trial": trial, "seed": seed, "epoch": epoch,
            "train_loss": 0.02 + 2.2 * left, "validation_loss": 0.08 + 2.1 * left,
            "validation_accuracy": level * (1 - 0.8 * left) + 0.004 * generator.standard_normal(),
            "learning_rate": 0.003, "seconds": 0.3,
            "asymmetry_share": 0.0 if is_exact(key) else 0.5 + 0.4 * left,
        })  # fmt: skip
    return rows
