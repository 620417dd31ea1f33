"""Folders of small images for tests, every one different."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.dataset import Dataset, load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.stage import prepare_all
from pipeline.study.schema import OwnSource, Prepare

CLASSES = ("cat", "dog")


def picture(seed: int, height: int = 12, width: int = 10, channels: int = 3) -> np.ndarray:
    """Random smooth pixels, ``(height, width, channels)`` or without channels for one."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    image = Image.fromarray(small if channels == 3 else small[:, :, 0])
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def fill(folder: Path, count: int = 20, classes: Iterable[str] = CLASSES, first: int = 0) -> Path:
    """Write `count` PNG images of each class; the folder is returned."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = 10_000 * label + first + number
            Image.fromarray(picture(seed)).save(folder / name / f"{first + number:03}.png")
    return folder


def own(path: Path, kind: str = "folder", **options: object) -> Prepare:
    """Settings that prepare `path` as the data set ``mine``."""
    common = {"size": 8, "fit": "resize", "channels": 3}
    source = OwnSource(kind=kind, path=str(path), **{**common, **options})  # type: ignore[arg-type]
    return Prepare(
        datasets=("mine",), seed=1, validation_fraction=0.2, test_fraction=0.2,
        sources={"mine": source},
    )  # fmt: skip


def prepared(settings: Prepare, folder: Path) -> Dataset:
    """Prepare the data set ``mine`` in a folder, and load all its splits."""
    prepare_all(settings, folder / "prepare")
    return load_dataset(folder / "prepare/mine", SPLITS, verify=True)


def refusal(settings: Prepare, folder: Path) -> str:
    """Prepare a data set that is refused; return the sentence."""
    with pytest.raises(UserError) as error:
        prepare_all(settings, folder / "prepare")
    assert not (folder / "prepare").exists()
    assert "\n" not in error.value.problems[0]
    return error.value.problems[0]
