"""Splits: stratified, disjoint, repeatable, and no image in two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.dataset.stratified import ImageKeys, draw_fractions, image_hashes, stratified
from pipeline.prepare.labelled_images import LabelledImages, check_given, check_values
from pipeline.prepare.splits.splitting import Selection, group_notes, make_splits, subsample
from pipeline.study.datasets import SOURCES
from pipeline.study.source import Source

FRACTIONS = {"test": 0.25, "validation": 0.15}


def images(labels: list[int], first: int = 0) -> LabelledImages:
    """One image a label, all of them different."""
    pixels = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    pixels[:, 0, 0, 0] = (first + np.arange(len(labels))) / 4096
    return LabelledImages(pixels, np.array(labels, dtype=np.int64))


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


def slides(seed: int, pixels: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw splits of 600 images of four classes on 12 slides; `pixels` decides how they look."""
    generator = draw(3)
    groups = generator.integers(0, 12, 600)
    labels = generator.choice(4, 600, p=[0.4, 0.3, 0.2, 0.1])
    keys = ImageKeys(labels, draw(pixels).permutation(600), groups)
    return labels, groups, draw_fractions(keys, FRACTIONS, draw(seed))


@pytest.mark.parametrize("seed", range(8))
def test_splits_of_few_groups_have_the_shares_of_every_class_that_whole_groups_allow(
    seed: int,
) -> None:
    labels, groups, split = slides(seed)
    assert {name: len(np.unique(groups[one])) for name, one in split.items()} == {
        "test": 3, "validation": 2, "train": 7,
    }  # fmt: skip
    for name, share in {**FRACTIONS, "train": 0.6}.items():
        found = np.bincount(labels[split[name]]) / np.bincount(labels)
        assert np.abs(found - share).max() < 0.08, (name, found)  # a slide has about 0.08
    assert sum(len(np.unique(groups[one])) for one in split.values()) == 12


def test_splits_of_groups_depend_on_the_seed_and_not_on_the_pixels() -> None:
    one, resized, other = (slides(*given)[2]["test"] for given in ((1, 0), (1, 9), (2, 0)))
    assert (one == resized).all() and not np.array_equal(one, other)


def test_groups_of_one_class_each_are_divided_by_class() -> None:
    groups = np.repeat(np.arange(200), 3)  # patients, with three images each
    labels = groups % 2
    split = draw_fractions(ImageKeys(labels, np.arange(600), groups), FRACTIONS, draw())
    for name, share in FRACTIONS.items():
        assert np.abs(np.bincount(labels[split[name]]) - 300 * share).max() <= 3


def listed(labels: list[int], first: int = 0, groups: list[int] | None = None) -> ImageKeys:
    """Images that are all different, numbered from `first`."""
    own = None if groups is None else np.array(groups)
    return ImageKeys(np.array(labels), np.arange(first, first + len(labels)), own)


def test_a_given_test_is_kept_and_validation_comes_from_train() -> None:
    given = {"train": listed([0, 1] * 20), "test": listed([0, 1] * 5, first=100)}
    splits = make_splits(given, draw(), validation_fraction=0.25, test_fraction=0.9)
    assert {name: (split.given, len(split)) for name, split in splits.items()} == {
        "train": ("train", 30), "validation": ("train", 10), "test": ("test", 10),
    }  # fmt: skip
    np.testing.assert_array_equal(splits["test"].indices, np.arange(10))


def test_splits_that_are_all_given_are_kept() -> None:
    names = ["train", "validation", "test"]
    given = {name: listed([0, 1], first=10 * i) for i, name in enumerate(names)}
    splits = make_splits(given, draw(), validation_fraction=0.5, test_fraction=0.5)
    assert {name: split.given for name, split in splits.items()} == {name: name for name in names}
    assert all(split.indices.tolist() == [0, 1] for split in splits.values())


def test_a_test_image_in_train_is_refused_unless_allowed() -> None:
    given = {"train": listed([0, 1] * 20), "test": listed([0, 1] * 5, first=39)}
    fractions = {"validation_fraction": 0.25, "test_fraction": 0.2}
    with pytest.raises(UserError, match=r"test split holds 1 images that are also in"):
        make_splits(given, draw(), **fractions)
    assert len(make_splits(given, draw(), **fractions, allow_leaks=True)["test"]) == 10


def test_a_group_in_train_and_test_is_refused() -> None:
    given = {
        "train": listed([0, 1] * 20, groups=[*range(40)]),
        "test": listed([0, 1] * 5, first=100, groups=[*range(39, 49)]),
    }
    with pytest.raises(UserError, match=r"test split holds 1 groups that are also in"):
        make_splits(given, draw(), validation_fraction=0.25, test_fraction=0.2)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=60, max_size=120),
    hashes=st.lists(st.integers(0, 300), min_size=120, max_size=120),
    seed=st.integers(0, 2**32 - 1),
)
def test_neither_a_group_nor_an_image_is_ever_torn_apart(
    groups: list[int], hashes: list[int], seed: int
) -> None:
    part = ImageKeys(np.arange(len(groups)) % 2, np.array(hashes[: len(groups)]), np.array(groups))
    try:
        splits = make_splits({"all": part}, draw(seed), validation_fraction=0.2, test_fraction=0.2)
    except UserError as error:
        assert "too few for" in str(error)
        return
    for keys in (part.hashes, part.groups):
        owners = [set(keys[split.indices].tolist()) for split in splits.values()]
        assert sum(map(len, owners)) == len(set.union(*owners))
    assert sorted(np.concatenate([s.indices for s in splits.values()])) == list(range(len(part)))


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=80),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_smaller_training_sets_lie_within_larger_ones(
    labels: list[int], shares: tuple[float, float], seed: int
) -> None:
    array, train = np.array(labels), Selection("all", 5 + 3 * np.arange(len(labels)))
    small, large = (
        set(subsample(train, array, seed, fraction=share, per_class=None).indices.tolist())
        for share in sorted(shares)
    )
    assert small <= large <= set(train.indices.tolist())
    one_each = subsample(train, array, seed, fraction=1, per_class=1)
    assert len(one_each) == len(set(labels)) and set(one_each.indices.tolist()) <= small
    assert subsample(train, array, seed, fraction=1, per_class=None) is train


def test_more_images_than_a_class_has_are_refused() -> None:
    with pytest.raises(UserError, match="class 1 has 2 training images, fewer than 3"):
        subsample(Selection("all", np.arange(6)), np.array([0] * 4 + [1] * 2), 0,
              fraction=1, per_class=3)  # fmt: skip


def test_equal_images_have_equal_hashes() -> None:
    pixels = images([0] * 6).images
    assert len(set(image_hashes(pixels))) == 6
    assert (image_hashes(pixels) == image_hashes(pixels.copy())).all()


DIGITS = SOURCES["digits"]


def broken(**change: np.ndarray) -> LabelledImages:
    whole = images(list(range(10)))
    return LabelledImages(**{"images": whole.images, "labels": whole.labels, **change})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (broken(images=np.zeros((10, 1, 8, 9), np.float32)), r"shape \(1, 8, 9\), expected"),
        (broken(images=np.zeros((10, 1, 8, 8), np.float64)), "float64, expected uint8 or float32"),
        (broken(labels=np.arange(9)), r"10 images, but labels int64 of the shape \(9,\)"),
        (broken(labels=np.arange(10) - 1), "label -1, expected 0 to 9"),
        (broken(labels=np.arange(10) + 1), "label 10, expected 0 to 9"),
        (images([]), "there are no images"),
    ],
)
def test_images_that_the_source_does_not_have_are_refused(part: LabelledImages, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        check_given({"all": part}, DIGITS)
    assert str(error.value).startswith("digits, 'all': ")


@pytest.mark.parametrize("value", [np.nan, np.inf, 16, -1])
def test_values_outside_0_to_1_are_refused(value: float) -> None:
    pixels = np.zeros((10, 1, 8, 8), np.float32)
    check_values(pixels, DIGITS, "all")
    pixels[3, 0, 2, 1] = value
    with pytest.raises(UserError, match=r"digits, 'all': values go from .*, expected 0 to 1"):
        check_values(pixels, DIGITS, "all")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_says_whose_it_is(source: Source) -> None:
    assert source.licence and source.citation and source.address.startswith(("https://", "http://"))


def test_the_number_of_groups_in_each_split_is_said() -> None:
    pixels = np.zeros((9, 1, 8, 8), dtype=np.float32)
    groups = np.array([0, 0, 1, 2, 3, 4, 4, 5, 6])
    given = {"all": LabelledImages(pixels, np.zeros(9, dtype=np.int64), groups=groups)}

    def notes(test: list[int]) -> list[str]:
        parts = {"train": [0, 1], "validation": [2], "test": test}
        return list(
            group_notes(
                given, {name: Selection("all", np.array(one)) for name, one in parts.items()}
            )
        )

    few, many = notes([3, 4, 5, 6]), notes([3, 4, 5, 6, 7, 8])
    found = "groups of images, such as slides or patients: 1 in train, 1 in validation, {} in test"
    assert few[0] == found.format(3) and many == [found.format(5)]
    assert few[1].startswith("the test has fewer than 4 groups, so that the report says nothing of")
    no_groups = {"all": LabelledImages(pixels, np.zeros(9, dtype=np.int64))}
    assert not list(group_notes(no_groups, {"test": Selection("all", np.arange(3))}))
