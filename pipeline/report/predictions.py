"""Which test images every run classified rightly: packed bits, read once from the predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.errors import UserError
from pipeline.results import records, schemas

PREDICTIONS, IMAGES = "predictions.parquet", "images.parquet"
Key = tuple[str, int, str]  # cell, seed, condition
_KEYS = ["study", "cell", "split", "seed", "condition"]


@dataclass(frozen=True)
class TestImages:
    """Labels of the test images of a data set in their order, and groups where it has them."""

    labels: NDArray[np.int64]
    groups: NDArray[np.str_] | None


@dataclass(frozen=True)
class Predictions:
    """Predictions of one data set; nothing where none were kept.

    `correct` holds packed bits and their number, of the runs on every split: their seeds differ.
    `images`, and other columns, which are read when they are asked for, are of the prepared split.
    """

    path: Path | None = None
    images: TestImages | None = None
    correct: Mapping[Key, tuple[NDArray[np.uint8], int]] = field(default_factory=dict)

    def length(self, cell: str, seed: int, conditions: Sequence[str]) -> int | None:
        """Return on how many images all of some conditions were kept, or None if they were not."""
        found = [self.correct.get((cell, seed, condition)) for condition in conditions]
        kept = [one[1] for one in found if one is not None]
        return min(kept) if len(kept) == len(conditions) else None

    def of(self, cell: str, seed: int, conditions: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the mean score of each image under some conditions, or None if not kept."""
        m = self.length(cell, seed, conditions)
        if m is None:
            return None
        kept = [self.correct[cell, seed, condition][0] for condition in conditions]
        return np.mean([np.unpackbits(bits, count=m) for bits in kept], axis=0, dtype=np.float32)

    def rows(self, column: str, condition: str) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
        """Yield cell, seed and the list in another column of all runs under a condition."""
        if self.path is None:
            return
        for cell, split, seed, _, values in _lists(self.path, column, condition):
            if values is not None and split == 0:
                yield cell, seed, values


def read_predictions(path: Path, images: Path, study: str | None = None) -> tuple[str, Predictions]:
    """Return the name of a data set and its predictions; all rows must be of the study."""
    name, known = _test_images(images)
    correct = {}
    for cell, split, seed, condition, values in _lists(path, "prediction", None, study):
        labels = known[split].labels if split in known else np.zeros(0, dtype=np.int64)
        if values is None or len(values) > len(labels):
            raise UserError(
                f"{path}: holds {0 if values is None else len(values)} predictions of a run, but "
                f"{images} has {len(labels)} images: run `dvc repro` to make both again"
            )
        right = values == labels[: len(values)]
        correct[cell, seed, condition] = np.packbits(right), len(right)
    return name, Predictions(path, known.get(0), correct)


def _test_images(path: Path) -> tuple[str, dict[int, TestImages]]:
    """Return the name of a data set, and its test images by split."""
    frame = records.read(path, schemas.IMAGES)
    found = {int(split): _of_split(part) for split, part in frame.groupby("split")}
    return str(frame["dataset"].iloc[0]), found


def _of_split(frame: pd.DataFrame) -> TestImages:
    frame = frame.sort_values("image")
    groups = None
    if frame["group"].notna().any():
        # An image without a group is a group of its own.
        alone = "image " + frame["image"].astype(str)
        groups = frame["group"].fillna(alone).to_numpy(dtype=np.str_)
    labels = frame["label"].to_numpy(dtype=np.int64)
    return TestImages(labels, groups)


def _lists(
    path: Path, column: str, condition: str | None, study: str | None = None
) -> Iterator[tuple[str, int, int, str, NDArray | None]]:
    """Yield cell, split, seed, condition and list of every row; nothing else is decoded."""
    rows = 32 if column == "logits" else 256  # at a time
    for batch in records.batches(path, schemas.PREDICTIONS, [*_KEYS, column], rows):
        keys = [batch[key].to_pylist() for key in _KEYS]
        for i, (owner, cell, split, seed, name) in enumerate(zip(*keys, strict=True)):
            if study not in (None, owner):
                raise UserError(
                    f"{path} holds rows of the study {owner!r} but params.yaml says {study!r}: "
                    "run `dvc repro` to bring the results up to date"
                )
            if condition in (None, name):
                values = batch[column][i].values
                yield cell, split, seed, name, None if values is None else values.to_numpy()
