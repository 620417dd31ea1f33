"""Splits: stratified, disjoint, repeatable, and no image in two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.parts import Images, check_parts
from pipeline.datasets.registry import SOURCES, Source
from pipeline.datasets.splitting import count_shared, image_hashes, make_splits, stratified
from pipeline.errors import UserError

FRACTIONS = {"test": 0.25, "validation": 0.15}


def images(labels: list[int], first: int = 0) -> Images:
    """One image a label, all of them different."""
    pixels = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    pixels[:, 0, 0, 0] = (first + np.arange(len(labels))) / 4096
    return Images(pixels, np.array(labels, dtype=np.int64))


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=80),
    copies=st.lists(st.integers(0, 60), max_size=80),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_split_is_stratified_disjoint_and_keeps_copies_together(
    labels: list[int], copies: list[int], seed: int
) -> None:
    labels = labels + [0, 1, 2, 3] * 5
    hashes = np.arange(len(labels))
    hashes[: len(copies[: len(labels)])] = copies[: len(labels)]
    array = np.array(labels)
    try:
        split = stratified(array, hashes, FRACTIONS, draw(seed))
    except UserError:
        assert len(np.unique(hashes)) < len(hashes)  # only copies can empty a split here
        return
    assert sorted(np.concatenate(list(split.values()))) == list(range(len(labels)))
    owners = [set(hashes[indices]) for indices in split.values()]
    assert sum(map(len, owners)) == len(set(hashes))
    if len(set(hashes)) == len(hashes):
        for label in np.unique(array):
            count = (array == label).sum()
            for name, share in FRACTIONS.items():
                assert (array[split[name]] == label).sum() == max(1, round(share * count))


def test_the_seed_decides() -> None:
    labels, hashes = np.repeat(np.arange(4), 25), np.arange(100)
    one, same, other = (
        stratified(labels, hashes, FRACTIONS, draw(seed))["test"] for seed in (1, 1, 2)
    )
    assert (one == same).all() and not np.array_equal(one, other)


def test_a_class_too_small_is_named() -> None:
    with pytest.raises(UserError, match="class 1 has 2 images, too few for test, validation"):
        stratified(np.array([0] * 9 + [1] * 2), np.arange(11), FRACTIONS, draw())


def test_a_given_test_is_kept_and_validation_comes_from_train() -> None:
    parts = {"train": images([0, 1] * 20), "test": images([0, 1] * 5, first=100)}
    splits = make_splits(parts, draw(), validation_fraction=0.25, test_fraction=0.9)
    assert list(splits) == ["train", "validation", "test"]
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 30, "validation": 10, "test": 10,
    }  # fmt: skip
    np.testing.assert_array_equal(splits["test"].images, parts["test"].images)


def test_splits_that_are_all_given_are_kept() -> None:
    parts = {
        name: images([0, 1], first=10 * i) for i, name in enumerate(["train", "validation", "test"])
    }
    assert make_splits(parts, draw(), validation_fraction=0.5, test_fraction=0.5) == parts


def test_a_test_image_in_train_is_refused() -> None:
    parts = {"train": images([0, 1] * 20), "test": images([0, 1] * 5, first=39)}
    with pytest.raises(UserError, match=r"test split holds 1 images that are also in"):
        make_splits(parts, draw(), validation_fraction=0.25, test_fraction=0.2)


def test_shared_images_are_counted() -> None:
    assert count_shared(images([0] * 6), images([1] * 6, first=4)) == 2
    assert len(set(image_hashes(images([0] * 6).images))) == 6


DIGITS = SOURCES["digits"]


def broken(**change: np.ndarray) -> Images:
    whole = images(list(range(10)))
    return Images(**{"images": whole.images, "labels": whole.labels, **change})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (broken(images=np.zeros((10, 1, 8, 9), np.float32)), r"shape \(1, 8, 9\), expected"),
        (broken(images=np.zeros((10, 1, 8, 8), np.float64)), "float64, expected uint8 or float32"),
        (broken(images=np.full((10, 1, 8, 8), np.nan, np.float32)), "values go from nan to nan"),
        (broken(images=np.full((10, 1, 8, 8), 16, np.float32)), "values go from 16.0 to 16.0"),
        (broken(labels=np.arange(9)), r"10 images, but labels int64 of the shape \(9,\)"),
        (broken(labels=np.arange(10) - 1), "label -1, expected 0 to 9"),
        (broken(labels=np.arange(10) + 1), "label 10, expected 0 to 9"),
        (images([]), "there are no images"),
    ],
)
def test_a_part_that_is_not_what_the_registry_says_is_refused(part: Images, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        check_parts({"all": part}, DIGITS)
    assert str(error.value).startswith("digits, part 'all': ")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_says_whose_it_is(source: Source) -> None:
    assert source.licence and source.citation and source.address.startswith("https://")
