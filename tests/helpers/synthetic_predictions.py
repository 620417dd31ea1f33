"""Made-up predictions of the test images that agree with the runs of a made-up study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.results import records, schemas

CLASSES = 10
# Conditions, and the column of the runs that says how many are right.
CONDITIONS = {
    "upright": "test_accuracy",
    "quarter_90": "test_accuracy_quarter_turned",
    "quarter_180": "test_accuracy_quarter_turned",
    "quarter_270": "test_accuracy_quarter_turned",
    "turned": "test_accuracy_turned",
}


def write_predictions(
    data: Path, groups: Sequence[str | None] = (None,), logits: bool = False, every: int = 1
) -> None:
    """Write predictions of every `every`-th finished run, and the images, of all data sets.

    Images are difficult for all runs alike, and a little for each. Image i is of the class
    `i % 10` and of the group `groups[i % len(groups)]`.
    """
    for path in sorted((data / "confirm").glob("*/runs.parquet")):
        runs = records.read(path, schemas.RUNS)
        done = runs[runs["status"] == "completed"]
        key = {name: runs[name].iloc[0] for name in ("study", "dataset")}
        m = int(done["test_images"].iloc[0])
        images = [
            {**key, "split": 0, "image": i, "label": i % CLASSES, "group": groups[i % len(groups)]}
            for i in range(m)
        ]
        generator = np.random.default_rng(len(runs))
        difficulty = generator.standard_normal(m)
        columns = [name for name in schemas.PREDICTIONS.names if name in runs]
        rows = [
            {**run[columns].to_dict(), "condition": condition, "first_image": 0,
             **_lists(run[column], difficulty, generator, logits)}
            for _, run in done.iloc[::every].iterrows()
            for condition, column in CONDITIONS.items()
        ]  # fmt: skip
        provenance = records.read_provenance(path)
        records.write(path.parent / "predictions.parquet", rows, schemas.PREDICTIONS, provenance)
        records.write(path.parent / "images.parquet", images, schemas.IMAGES, provenance)


def _lists(
    accuracy: float, difficulty: np.ndarray, generator: np.random.Generator, logits: bool
) -> dict[str, np.ndarray | None]:
    m = len(difficulty)
    order = np.argsort(difficulty + 0.5 * generator.standard_normal(m))
    right = np.zeros(m, dtype=bool)
    right[order[: round(accuracy * m)]] = True
    labels = np.arange(m) % CLASSES
    predicted = np.where(right, labels, (labels + 1) % CLASSES)
    scores = 3 * np.eye(CLASSES)[predicted] + np.eye(CLASSES)[labels]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return {
        "prediction": predicted.astype(np.uint16),
        "label_probability": chances[np.arange(m), labels].astype(np.float16),
        "logits": scores.astype(np.float16).ravel() if logits else None,
    }
