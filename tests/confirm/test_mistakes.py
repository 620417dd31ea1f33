"""The most confidently wrong test images: which, in which order, with which pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.confirm.measures.predictions import pack
from pipeline.confirm.mistakes import MOST, find_mistakes
from pipeline.confirm.result_store import RunStore
from pipeline.dataset import Dataset, Split

CARD = {"name": "any", "classes": 3, "class_names": ["F", "G", "J"]}


def listed(labels: list[int], groups: list[str] | None = None) -> dict[str, Any]:
    """The images in the reverse of their order in the split."""
    return {"test_images": list(range(len(labels)))[::-1], "labels": labels, "groups": groups}


def opened(images: np.ndarray) -> Dataset:
    split = Split(images, np.zeros(len(images), dtype=np.int64))
    return Dataset("any", split, split, test=split)


def packed(folder: Path, labels: list[int], *runs: list[list[float]]) -> dict[str, Path]:
    """Write runs with these probabilities ``(images, classes)``."""
    found = {}
    for number, shares in enumerate(runs):
        logits = torch.tensor(shares).log()
        found[f"run{number}"] = folder / f"run{number}"
        content = pack({"upright": logits}, {}, torch.tensor(labels), keep_logits=False)
        found[f"run{number}"].write_bytes(content)
    return found


def rows(tmp_path: Path, kept: dict[str, Path], images: np.ndarray, labels: list[int],
         groups: list[str] | None = None) -> list[dict[str, Any]]:  # fmt: skip
    store, card = RunStore(tmp_path / "store"), json.dumps(CARD).encode()
    return find_mistakes(store, "any", card, kept, listed(labels, groups), lambda: opened(images))


def test_images_are_ordered_by_the_mean_probability_of_wrong_predictions(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0]
    kept = packed(
        tmp_path, labels,
        [[0.1, 0.8, 0.1], [0.1, 0.7, 0.2], [0.6, 0.2, 0.2], [0.9, 0.1, 0.0001]],
        [[0.2, 0.7, 0.1], [0.0001, 0.1, 0.9], [0.3, 0.5, 0.2], [0.9, 0.1, 0.0001]],
    )  # fmt: skip
    images = np.arange(4 * 6, dtype=np.uint8).reshape(4, 1, 2, 3)
    found = rows(tmp_path, kept, images, labels, ["a", "b", "c", "d"])
    # Means of the wrong probabilities: .75, .45, .55, and 0 for the image that is always right.
    assert [row["image"] for row in found] == [0, 2, 1]
    assert [row["place"] for row in found] == [0, 1, 2]
    assert [row["test_image"] for row in found] == [3, 1, 2]
    assert [(row["label_name"], row["predicted_name"]) for row in found] == [
        ("F", "G"), ("J", "F"), ("G", "J"),
    ]  # fmt: skip
    np.testing.assert_allclose([row["probability"] for row in found], [0.75, 0.6, 0.9], atol=1e-3)
    assert [row["wrong_runs"] for row in found] == [2, 2, 1]
    assert [row["group"] for row in found] == ["a", "c", "b"]
    assert {row["runs"] for row in found} == {2}
    assert found[0]["pixels"] == images[3].tobytes()
    assert [found[0][name] for name in ("channels", "height", "width")] == [1, 2, 3]


def test_no_more_images_are_kept_than_are_drawn(tmp_path: Path) -> None:
    labels = [0] * 40
    kept = packed(tmp_path, labels, [[0.2, 0.8 - i / 200, i / 200 + 1e-6] for i in range(40)])
    found = rows(tmp_path, kept, np.zeros((40, 3, 2, 2), dtype=np.uint8), labels)
    assert [row["image"] for row in found] == list(range(MOST))
    assert all(row["group"] is None for row in found)


@pytest.mark.parametrize(
    ("shares", "runs"), [([[0.9, 0.05, 0.05]], 1), ([], 0)], ids=["all right", "no run"]
)
def test_without_a_mistake_the_test_is_not_opened(
    tmp_path: Path, shares: list[list[float]], runs: int
) -> None:
    kept = packed(tmp_path, [0], *[shares] * runs)

    def forbidden() -> Dataset:
        raise AssertionError("opened")

    store, card = RunStore(tmp_path / "store"), json.dumps(CARD).encode()
    assert find_mistakes(store, "any", card, kept, listed([0]), forbidden) == []


def test_what_was_found_is_kept_until_the_runs_change(tmp_path: Path) -> None:
    labels, images = [0], np.full((1, 1, 1, 1), 0.5, dtype=np.float32)
    kept = packed(tmp_path, labels, [[0.2, 0.7, 0.1]], [[0.2, 0.1, 0.7]])
    first = rows(tmp_path, {"run0": kept["run0"]}, images, labels)
    assert first[0]["pixels"] == bytes([128]) and first[0]["predicted"] == 1
    # The same runs: what was found before, without a look at the images.
    assert rows(tmp_path, {"run0": kept["run0"]}, np.zeros((1, 1, 1, 1)), labels) == first
    other = rows(tmp_path, {"run1": kept["run1"]}, images, labels)
    assert other[0]["predicted"] == 2


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    kept = packed(tmp_path, [0], [[0.2, 0.7, 0.1]])
    card = json.dumps(CARD | {"class_names": []}).encode()
    images = np.zeros((1, 1, 1, 1))
    found = find_mistakes(
        RunStore(tmp_path / "store"), "any", card, kept, listed([0]), lambda: opened(images)
    )
    assert (found[0]["label_name"], found[0]["predicted_name"]) == ("0", "1")
