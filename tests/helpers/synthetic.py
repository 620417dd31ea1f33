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

from pipeline.results import records, schemas
from pipeline.study.cells import Cell

Row = dict[str, Any]

PROVENANCE: Row = {
    "schema_version": 5,
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
    row = {**key, **_configuration(key, generator), "trial": trial, "seed": seed}
    row |= _outcome(key, shape, upright + 0.004, generator)
    row["weights"] = f"data/confirm/{folder_name(key['dataset'])}/weights/cell-seed{seed}"
    if row["status"] == "completed":
        row |= _measured(key, shape, upright, generator)
        row["tuned_validation_accuracy"] = tuned
        tables["epochs"] += _epochs(key, "confirm", trial, seed, shape, upright, generator)
        tables["angles"] += _angles(key, seed, upright, generator)
        tables["layers"] += _layers(key, seed, generator)
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
        tables["moves"] += _moves(key, seed, upright, generator)
        if seed == shape.seeds[0]:
            tables["encodings"] += _encodings(key, seed, generator)
            tables["features"] += _features(key, seed, generator)
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


def _exact(key: Row) -> bool:
    return key["group"] in ("C4", "D4", "C8", "D8", "C12", "C16")


def _upright(key: Row) -> float:
    loss = {"C1": 0.008, "C4": 0.016, "D4": 0.036}.get(key["group"], 0.025)
    loss += {"none": 0.004, "absolute": 0.006}.get(key["positional"], 0.0)
    return 0.995 - loss + 0.004 * min(key["depth"], 3) - 0.004


def _rounding(generator: np.random.Generator) -> float:
    return float(2e-7 * math.exp(0.3 * generator.standard_normal()))


def _measured(key: Row, shape: Shape, upright: float, generator: np.random.Generator) -> Row:
    exact, mirror = _exact(key), _exact(key) and key["group"].startswith("D")
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
        "invariance_error": _rounding(generator) if exact else 0.98 + 0.03 * generator.random(),
        "consistency": 1.0 if exact else broken + 0.02,
        "invariance_error_mirror": _rounding(generator) if mirror else 0.7,
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


D4 = ("r90", "r180", "r270", "m", "r90m", "r180m", "r270m")
SHIFTS = ("+1 +0", "+0 +1", "-1 +0", "+0 -1", "+2 +0", "+0 +2")


def _moves(key: Row, seed: int, upright: float, generator: np.random.Generator) -> list[Row]:
    rows = []
    for kind, names in (("element", D4), ("shift", SHIFTS)):
        for name in names:
            still = kind == "element" and _exact(key) and ("m" not in name or "D" in key["group"])
            error = _rounding(generator) if still else 0.3 + 0.5 * generator.random()
            rows.append({
                **key, "seed": seed, "kind": kind, "transformation": name, "images": 64,
                "accuracy": upright if still else 0.5, "invariance_error": error,
                "consistency": 1.0 if still else 0.55,
            })  # fmt: skip
    return rows


def _turned(seen: np.ndarray, frame: int) -> np.ndarray:
    """A map as the element `frame` of D4 sees it."""
    return np.rot90(seen[:, ::-1] if frame >= 4 else seen, frame % 4)


def _values(maps: Iterable[np.ndarray], **columns: Any) -> list[Row]:
    return [
        {**columns, "frame": frame, "row": row, "col": col, "value": float(value)}
        for frame, plane in enumerate(maps)
        for (row, col), value in np.ndenumerate(plane)
    ]


def _encodings(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    if key["positional"] not in ("absolute", "relative"):
        return []
    seen = generator.standard_normal((4, 4) if key["positional"] == "absolute" else (7, 7))
    maps = [_turned(seen, frame) for frame in range({"C1": 1, "D4": 8}.get(key["group"], 4))]
    return _values(maps, **key, seed=seed, layer="position.encoding")


def _features(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    if key["group"] != "C4":
        return []
    image, maps = generator.random((8, 8)), generator.random((4, 4, 4))
    rows = []
    for turn in range(4):
        known = {**key, "seed": seed, "turn": turn}
        moved = [np.rot90(maps[(frame - turn) % 4], turn) for frame in range(4)]
        rows += _values([np.rot90(image, turn)], **known, layer="input", layer_index=-1)
        rows += _values(moved, **known, layer="tokens", layer_index=1)
    return rows


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
        "peak_memory_bytes": int(3e8), "device": "cpu",
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
            "asymmetry_share": 0.0 if _exact(key) else 0.5 + 0.4 * left,
        })  # fmt: skip
    return rows


def _angles(key: Row, seed: int, upright: float, generator: np.random.Generator) -> list[Row]:
    rows = []
    for step in range(24):
        angle = 15.0 * step
        exact = angle % 90 == 0
        away = math.sin(math.radians(2 * angle)) ** 2
        turned = abs(((angle + 180) % 360) - 180) / 180
        if _exact(key):
            accuracy, error = upright - 0.25 * away, 0.7 * away or _rounding(generator)
        else:
            accuracy, error = upright * math.exp(-4 * turned) + 0.1, turned**0.5
        if angle == 0:
            accuracy, error = upright, 0.0
        rows.append({
            **key, "seed": seed, "angle_degrees": angle, "exact": exact,
            "accuracy": min(accuracy + 0.004 * generator.standard_normal(), 1.0),
            "consistency": min(accuracy + 0.01, 1.0), "invariance_error": error,
        })  # fmt: skip
    return rows


def _layers(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    names = ["standardise", "tokens", *["position"] * (key["positional"] == "absolute")]
    names += [*(f"block {i + 1}" for i in range(key["depth"])), "head"]
    elements = ["r90", "r180", "r270"] + (["m", "r90m"] if key["group"].startswith("D") else [])
    return [
        {
            **key, "seed": seed, "layer": name, "layer_index": index, "element": element,
            "error": (_rounding(generator) if _exact(key) else 0.5 + 0.1 * index) * (index > 0),
        }
        for index, name in enumerate(names)
        for element in elements
    ]  # fmt: skip


def hierarchy_rows(shape: Shape, generator: np.random.Generator) -> list[Row]:
    """Return the measured errors of random-weight pixel-token networks."""
    rows = []
    for group in shape.groups:
        for positional in shape.encodings:
            for transformation in ("permutation", "translation", "quarter_turn", "mirror",
                                   "turn_45"):  # fmt: skip
                symmetric = _symmetric(group, positional, transformation)
                for seed in range(3):
                    error = 1e-8 * _rounding(generator) if symmetric else 0.5 + generator.random()
                    rows.append({
                        "study": shape.study, "group": group, "positional": positional,
                        "tokens": "pixel", "seed": seed, "transformation": transformation,
                        "error": error, "expected_symmetric": symmetric,
                    })  # fmt: skip
    return rows


def _symmetric(group: str, positional: str, transformation: str) -> bool:
    if positional == "none":
        return transformation != "turn_45"
    if transformation == "translation":
        return positional in ("relative", "radial", "rotary")
    if transformation == "quarter_turn":
        return group in ("C4", "D4", "C8", "D8") or positional == "radial"
    if transformation == "mirror":
        return group in ("D4", "D8", "D1") or positional == "radial"
    return False
