"""The measured symmetry: known answers on glyphs, chance without any, and words that fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.dataset.turning import turn
from pipeline.prepare import stage
from pipeline.prepare.sources import glyphs
from pipeline.prepare.symmetry.kernels import ELEMENTS, kernels, relative, small_images
from pipeline.prepare.symmetry.measure import TRANSFORMATIONS, measure_symmetry, swaps
from pipeline.results.provenance import data_digest, provenance
from pipeline.study.data_schema import Prepare
from pipeline.study.datasets import SOURCES
from pipeline.study.symmetry import findings, recommendation

COUNT = 600
# By set: which transformations change the labels, and which are found in the images alone.
KNOWN = {
    "glyphs-shape": (set(), set(), "D4"),
    "glyphs-hand": ({"mirror"}, set(), "C4"),
    "glyphs-half": ({"quarter turn"}, {"mirror"}, "C2"),
    "glyphs-pose": ({"half turn", "quarter turn"}, {"mirror"}, "C1"),
}


def measured(images: np.ndarray, labels: np.ndarray, groups: Any = None, seed: int = 0) -> dict:
    found = measure_symmetry(
        images, labels, groups, int(labels.max()) + 1, np.random.default_rng(seed)
    )
    return {"labels": None, "measured": found}


@pytest.mark.parametrize("name", KNOWN)
def test_known_symmetry_is_found(name: str) -> None:
    source = replace(SOURCES[name], given=(("train", COUNT),))
    given = glyphs.read(source, 1)["train"]
    images = given.images.read(0, COUNT).images
    symmetry = measured(images, given.labels, given.groups)
    tests = symmetry["measured"]["tests"]
    change, oriented, group = KNOWN[name]
    assert {key for key, test in tests.items() if test["label_change"] > 0.25} == change
    assert {key for key, test in tests.items() if test["images_accuracy"] > 0.75} == oriented
    assert {key for key, test in tests.items() if test["images_p"] <= 0.005} == oriented
    assert f"try {group} first" in recommendation(symmetry)
    assert symmetry["measured"]["groups"] == len(glyphs.TRAIN_FONTS)


@pytest.mark.parametrize(("groups", "draws"), [(5, 15), (8, 127), (9, 199), (16, 199), (40, 199)])
def test_few_groups_are_swapped_in_different_ways(groups: int, draws: int) -> None:
    """Nor all or none of them, which says what the data say."""
    signs = swaps(groups, np.random.default_rng(0))
    assert signs.shape == (draws, groups) and set(np.unique(signs)) == {-1.0, 1.0}
    assert len({tuple(row) for row in np.vstack([signs, -signs])}) == 2 * draws
    assert (np.abs(signs.sum(axis=1)) < groups).all()


def test_an_orientation_whose_interval_holds_chance_is_not_claimed() -> None:
    """One test in 200 of images without an orientation has so small a p by chance."""
    images, labels = load_digits(return_X_y=True)
    found = measured(images[:300].reshape(-1, 1, 8, 8).astype(np.float32), labels[:300])
    for test in found["measured"]["tests"].values():
        test |= {"images_p": 0.005, "images_interval": [0.49, 0.59], "images_accuracy": 0.54}
    assert not any("the images have a preferred" in said for said in findings(found))
    assert "try D4 first" in recommendation(found)


def test_digits_have_an_orientation_that_hardly_changes_labels() -> None:
    images, labels = load_digits(return_X_y=True)
    symmetry = measured(images[:COUNT].reshape(-1, 1, 8, 8).astype(np.float32), labels[:COUNT])
    tests = symmetry["measured"]["tests"].values()
    assert all(test["images_accuracy"] > 0.9 for test in tests)
    assert all(test["label_change"] < 0.05 for test in tests)
    assert "do not look like these images: augmentation trains" in recommendation(symmetry)
    # A few labels change, which the line of the half turn says; the advice must not deny it.
    assert ("the labels of 10% of the images or more (" in recommendation(symmetry)) == any(
        "the label changes for about" in line for line in findings(symmetry)
    )


def test_digits_turned_by_quarters_have_none() -> None:
    """Negative control of the same images."""
    images, labels = load_digits(return_X_y=True)
    pixels = images[:500].reshape(-1, 1, 8, 8).astype(np.float32)
    quarters = np.random.default_rng(0).integers(0, 4, 500)
    pixels = np.stack([np.rot90(x, k, (1, 2)) for x, k in zip(pixels, quarters, strict=True)])
    tests = measured(pixels, labels[:500])["measured"]["tests"]
    assert all(tests[name]["images_p"] > 0.005 for name in ("half turn", "quarter turn"))
    assert all(0.4 < tests[name]["images_accuracy"] < 0.6 for name in ("half turn", "quarter turn"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [None, 8, 3])
def test_noise_is_at_chance(seed: int, groups: int | None) -> None:
    draw = np.random.default_rng(seed)
    images = draw.random((120, 3, 6, 6), dtype=np.float32)
    labels = draw.integers(0, 3, 120)
    clusters = None if groups is None else draw.integers(0, groups, 120)
    found = measured(images, labels, clusters, seed)
    for test in found["measured"]["tests"].values():
        assert test["images_p"] > 0.005
        assert test["images_interval"][0] <= 0.5
    assert found["measured"]["groups"] == (8 if groups == 8 else None)
    assert "could not be learned" in recommendation(found)
    assert any("measured on 120 images" in line for line in findings(found))


@pytest.mark.parametrize("side", [6, 7, 24, 31, 64])
@pytest.mark.parametrize("element", ELEMENTS)
def test_smaller_images_move_as_the_images_do(side: int, element: tuple[int, bool]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, side, side)).astype(np.uint8)
    np.testing.assert_allclose(
        small_images(moved(images, element)), moved(small_images(images), element), atol=1e-5
    )


def moved(images: np.ndarray, element: tuple[int, bool]) -> np.ndarray:
    quarter, mirrored = element
    return np.ascontiguousarray(
        np.rot90(images[..., ::-1] if mirrored else images, quarter, (2, 3))
    )


@pytest.mark.parametrize("other", ELEMENTS)
@pytest.mark.parametrize("one", ELEMENTS)
def test_kernel_of_two_moved_images_is_that_of_one(
    one: tuple[int, bool], other: tuple[int, bool]
) -> None:
    images = small_images(np.random.default_rng(0).random((6, 1, 5, 5)))
    tables = kernels(images)
    both = kernels(np.concatenate([moved(images, one), moved(images, other)]))[0, False]
    np.testing.assert_allclose(tables[relative(one, other)], both[:6, 6:], rtol=0.2)
    exact = np.einsum("iabc,jabc->ij", moved(images, one), moved(images, other))
    plain = np.einsum("iabc,jabc->ij", images, moved(images, relative(one, other)))
    np.testing.assert_allclose(exact, plain, atol=1e-5)


@pytest.mark.parametrize("wanted", [True, False])
def test_card_and_provenance_say_it(
    wanted: bool, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Prepare(
        datasets=("glyphs-hand",), seed=0, validation_fraction=0.1, test_fraction=0.2,
        symmetry_test=wanted, glyphs={"train": 120, "validation": 40, "test": 40},
    )  # fmt: skip
    stage.prepare_all(settings, tmp_path / "prepare")
    dataset = load_dataset(tmp_path / "prepare/glyphs-hand", SPLITS)
    symmetry = dataset.card["symmetry"]
    assert symmetry["labels"] == "C"
    assert (symmetry["measured"] is not None) == wanted
    assert (
        "quarter turn: of an image and its turned copy, a classifier picks"
        in capsys.readouterr().out
    ) == wanted
    if wanted:
        assert symmetry["measured"]["images"] == 160  # no test image
        assert set(symmetry["measured"]["tests"]) == set(TRANSFORMATIONS)
    known = provenance({}, dataset.card)["data_symmetry"]
    assert known["labels"] == "C" and known["classes"] == 2
    assert known["recommendation"] == recommendation(symmetry)
    assert (known["group"] is None) != (f"try {known['group']} first" in known["recommendation"])
    assert json.loads(json.dumps(known)) == known
    assert data_digest(dataset.card) == data_digest({**dataset.card, "symmetry": None})
    files = {name: one for name, one in dataset.card["files"].items() if not name.endswith(".png")}
    assert len(files) < len(dataset.card["files"]), "there are pictures"
    assert data_digest(dataset.card) == data_digest({**dataset.card, "files": files})
    assert data_digest(dataset.card) == data_digest({**dataset.card, "versions": {}})
    other = {name: {"bytes": 1, "sha256": "0"} for name in files}
    assert data_digest(dataset.card) != data_digest({**dataset.card, "files": other})
    assert set(dataset.test.groups) == set(dataset.test_turned.groups) == set(glyphs.TEST_FONTS)


def test_measured_values_are_those_of_turned_images_too() -> None:
    """Images that were all turned alike by any angle have an orientation as before."""
    images, labels = load_digits(return_X_y=True)
    pixels = (images[:300] / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    tests = measured(turn(pixels, np.full(300, 45.0)), labels[:300])["measured"]["tests"]
    assert all(test["images_accuracy"] > 0.8 for test in tests.values())
