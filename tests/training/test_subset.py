"""Training on fewer images: nested, stratified, the same for every seed of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_study import small_data

from pipeline.dataset import Dataset, Split
from pipeline.training.image_feed import fewer_images, stratified_order
from pipeline.training.loop import train

RARE = np.array([0] * 90 + [1] * 9 + [2])
LABELS = {
    "even": np.arange(60) % 6,
    "rare": np.random.default_rng(1).permutation(RARE),
    "one class": np.zeros(7, dtype=int),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_any_first_few_images_have_the_classes_in_proportion(labels: np.ndarray, seed: int) -> None:
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    shares = np.bincount(labels) / len(labels)
    for count in range(1, len(labels) + 1):
        found = np.bincount(labels[order[:count]], minlength=len(shares))
        assert np.abs(found - count * shares).max() <= len(shares) / 2 + 1e-9


def test_the_seed_decides_the_order() -> None:
    orders = [stratified_order(LABELS["even"], seed).tolist() for seed in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]


def images_of(data: Dataset) -> set[bytes]:
    return {image.tobytes() for image in data.train.images}


def test_smaller_sets_are_parts_of_larger_ones() -> None:
    data = small_data()
    sets = [images_of(fewer_images(data, count)) for count in (3, 10, 16, None)]
    assert sets[0] < sets[1] < sets[2] == sets[3]
    assert fewer_images(data, None) is data
    with pytest.raises(ValueError, match="has 16 training images, not 17"):
        fewer_images(data, 17)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_are_standardised_by_those_that_are_trained_on(dtype: type) -> None:
    data, draw = small_data(), np.random.default_rng(0)
    scale = 255 if dtype is np.uint8 else 1
    pixels = (draw.random((16, 2, 4, 4)) * scale).astype(dtype)
    few = fewer_images(replace(data, train=Split(pixels, data.train.labels)), 5)
    for name, expected in (("mean", np.mean), ("std", np.std)):
        found = getattr(few, name)[:, 0, 0]
        np.testing.assert_allclose(found, expected(few.train.images / scale, axis=(0, 2, 3)), 1e-5)


CONFIG = {
    "model": "gsa", "group": "C1", "positional": "none", "depth": 1, "tokens": "stem",
    "augment": "turn_mirror", "form": "framewise", "heads": 1, "window": None,
    "window_shape": "auto", "encoding": "auto", "patch_size": None, "channels": 4,
    "feedforward_ratio": 1, "dropout": 0.0, "attention_dropout": 0.0, "learning_rate": 0.003,
    "weight_decay": 0.0, "label_smoothing": 0.0, "batch_size": 4, "epochs": 1, "seed": 5,
    "in_channels": 1, "num_classes": 10, "image_size": 8,
}  # fmt: skip


def test_a_training_sees_its_images_alone() -> None:
    data = small_data()
    chosen = images_of(fewer_images(data, 10))
    other = data.train.images.copy()
    for place, image in enumerate(other):
        if image.tobytes() not in chosen:
            other[place] = np.nan
    spoilt = replace(data, train=Split(other, data.train.labels))
    few, same = (
        train({**CONFIG, "training_images": 10}, one).epochs[0]["train_loss"]
        for one in (data, spoilt)
    )
    assert few == same
    assert few != train({**CONFIG, "training_images": None}, data).epochs[0]["train_loss"]
