"""The group of each image is kept with its split, for sources of every kind that have groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.dataset import Dataset, load_dataset
from pipeline.dataset.store import GROUP_NAMES, SPLITS
from pipeline.execution.shared_data import _plain
from pipeline.prepare import stage
from pipeline.study.data_schema import Prepare

PATIENTS = [f"p{number}é" for number in range(20)]


def folder(path: Path) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (path / label).mkdir(parents=True)
        for number, patient in enumerate(PATIENTS * 2):
            pixels = draw.integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(path / label / f"{patient}_{number}.png")
    return {"kind": "folder", "group_pattern": "^(.+?)_"}


def arrays(path: Path) -> dict[str, Any]:
    path.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (80, 6, 6), dtype=np.uint8)
    np.save(path / "images.npy", pixels)
    np.save(path / "labels.npy", np.arange(80) // 40)
    np.save(path / "groups.npy", np.array(PATIENTS * 4))
    return {"kind": "arrays"}


def parquet(path: Path) -> dict[str, Any]:
    from io import BytesIO

    def encoded(pixels: np.ndarray) -> bytes:
        file = BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()

    path.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (80, 6, 6), dtype=np.uint8)
    table = {
        "image": [{"bytes": encoded(image), "path": None} for image in pixels],
        "label": np.arange(80) // 40,
        "patient": PATIENTS * 4,
    }
    pd.DataFrame(table).to_parquet(path / "all.parquet")
    return {"kind": "parquet", "group_column": "patient"}


def prepared(make: Any, work: Path) -> Dataset:
    options = {"path": "source", "size": 6, "fit": "resize", "channels": 1, **make(work / "source")}
    settings = Prepare(
        datasets=("mine",), seed=0, validation_fraction=0.2, test_fraction=0.2,
        sources={"mine": options},
    )  # fmt: skip
    stage.prepare_all(settings, work / "prepare")
    return load_dataset(work / "prepare/mine", SPLITS, verify=True)


@pytest.mark.parametrize("make", [folder, arrays, parquet])
def test_groups_are_kept(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = prepared(make, tmp_path)
    splits = (found.train, found.validation, found.test)
    sets = [set(split.groups) for split in splits]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(PATIENTS)
    assert set.union(*sets) == set(PATIENTS)
    assert all(len(split.groups) == len(split) for split in splits)
    np.testing.assert_array_equal(found.test_turned.groups, found.test.groups)
    np.testing.assert_array_equal(_plain(found).test.groups, found.test.groups)


def test_data_without_groups_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def ungrouped(path: Path) -> dict[str, Any]:
        options = arrays(path)
        (path / "groups.npy").unlink()
        return options

    assert prepared(ungrouped, tmp_path).test.groups is None


@pytest.mark.parametrize(
    ("names", "words"),
    [({}, "is no list of names"), (["one"], "no name for, of 1"), (["a", 1], "is no list")],
)
def test_damaged_names_are_refused(
    names: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(arrays, tmp_path)
    place = tmp_path / "prepare/mine"
    text = json.dumps(names)
    (place / GROUP_NAMES).write_text(text)
    card = json.loads((place / "card.json").read_text())
    card["files"][GROUP_NAMES]["bytes"] = len(text)
    (place / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=words):
        load_dataset(place)
