"""Glyphs: drawn exactly, distinct under every turn and mirror, of the symmetry they state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.prepare.sources import glyph_drawing, glyphs
from pipeline.prepare.sources.glyph_drawing import FONTS, LETTERS, Drawings, draw
from pipeline.study.data_schema import Prepare
from pipeline.study.datasets import SOURCES
from pipeline.study.source import Source

EVERY_FONT = tuple(font for family in FONTS.values() for font in family)
SIDE = 16
# Correlation of two images: below, they are different letters at this size.
SAME = 0.95
SETS = [source for source in SOURCES.values() if source.generated]


def plainly(letters: str, font: int, degrees: np.ndarray, quarter: int, mirrored: bool) -> Drawings:
    """Each letter once for each angle, without any jitter."""
    count = len(letters) * len(degrees)
    nothing = np.zeros(count)
    return Drawings(
        font=np.full(count, font), letter=np.repeat(np.arange(len(letters)), len(degrees)),
        degrees=np.tile(degrees, len(letters)), quarter=np.full(count, quarter),
        mirrored=np.full(count, mirrored), size=nothing + 0.95, aspect=nothing, shear=nothing,
        shift=nothing, shift_degrees=nothing, stroke=nothing,
    )  # fmt: skip


def likeness(letters: str, font: int) -> np.ndarray:
    """Greatest correlation of each letter with turns and mirrors of each, ``(letters, letters)``.

    Turns of a letter by less than 60 degrees are left out: they are that letter.
    """
    degrees = np.arange(0, 90, 7.5)
    found = np.full((len(letters), len(letters)), -1.0)
    upright = unit(draw(plainly(letters, font, np.zeros(1), 0, False), EVERY_FONT, letters, SIDE))
    for mirrored in (False, True):
        for quarter in range(4):
            drawings = plainly(letters, font, degrees, quarter, mirrored)
            images = unit(draw(drawings, EVERY_FONT, letters, SIDE))
            same = (upright @ images.T).reshape(len(letters), len(letters), len(degrees))
            turn = np.abs((degrees + 90 * quarter + 180) % 360 - 180)
            if not mirrored:
                same[np.diag_indices(len(letters))] = np.where(
                    turn < 60, -1, same[np.diag_indices(len(letters))]
                )
            found = np.maximum(found, same.max(2))
    return found


def unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(float)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def drawn(symmetry: str, count: int = 240, seed: int = 0) -> tuple[np.ndarray, Drawings]:
    return glyphs.design(symmetry, count, glyphs.TRAIN_FONTS, np.random.default_rng(seed))


def pictures(drawings: Drawings, side: int = SIDE) -> np.ndarray:
    return draw(drawings, EVERY_FONT, LETTERS, side)


@pytest.mark.parametrize("font", range(len(EVERY_FONT)), ids=EVERY_FONT)
def test_no_letter_is_a_turn_or_mirror_image_of_itself_or_another(font: int) -> None:
    assert likeness(LETTERS, font).max() < SAME


@pytest.mark.parametrize("letters", ["N", "S", "Z", "H", "I", "O", "X", "bd", "bq", "69", "NZ"])
def test_symmetric_letters_would_be_found(letters: str) -> None:
    """Negative control, in a font without serifs."""
    font = EVERY_FONT.index("DejaVuSans")
    assert likeness(letters, font).max() > (SAME if letters != "NZ" else 0.75)


@pytest.mark.parametrize("side", [16, 17, 28])
@pytest.mark.parametrize("symmetry", ["D", "C2"])
def test_quarter_turns_and_mirrors_are_exact_to_the_bit(symmetry: str, side: int) -> None:
    _, drawings = drawn(symmetry, 48)
    images = pictures(drawings, side)
    turned = pictures(replace(drawings, quarter=drawings.quarter + 1), side)
    np.testing.assert_array_equal(turned, np.rot90(images, 1, (2, 3)))
    mirrored = replace(drawings, mirrored=~drawings.mirrored, quarter=-drawings.quarter % 4)
    np.testing.assert_array_equal(pictures(mirrored, side), images[..., ::-1])


def test_another_angle_is_no_quarter_turn() -> None:
    """Negative control: an angle that is off by a degree gives other images."""
    _, drawings = drawn("D", 48)
    images, other = (
        pictures(each) for each in (drawings, replace(drawings, degrees=drawings.degrees + 1))
    )
    assert (images != other).any((1, 2, 3)).all()


# Of each set: turning by a quarter, by a half, and mirroring, what becomes of the labels.
MOVED = {
    "D": (lambda y: y, lambda y: y, lambda y: y),
    "C": (lambda y: y, lambda y: y, lambda y: 1 - y),
    "C2": (lambda y: 1 - y, lambda y: y, None),
    "C1": (lambda y: (y + 1) % 4, lambda y: (y + 2) % 4, None),
}


@pytest.mark.parametrize("symmetry", MOVED)
def test_moved_images_have_the_label_of_what_they_show(symmetry: str) -> None:
    """A turned or mirrored image is one that the set may hold, under the label stated here."""
    labels, drawings = drawn(symmetry)
    quarter, half, mirror = MOVED[symmetry]
    for steps, relabel in ((1, quarter), (2, half)):
        moved = replace(drawings, quarter=(drawings.quarter + steps) % 4)
        np.testing.assert_array_equal(stated(symmetry, moved), relabel(labels))
        assert counted(symmetry, moved) == counted(symmetry, drawings)
    if mirror is None:
        assert not drawings.mirrored.any()  # mirrored letters are not in the set
    else:
        moved = replace(drawings, mirrored=~drawings.mirrored, quarter=-drawings.quarter % 4)
        np.testing.assert_array_equal(stated(symmetry, moved), mirror(labels))
        assert counted(symmetry, moved) == counted(symmetry, drawings)


def stated(symmetry: str, drawings: Drawings) -> np.ndarray:
    """The label by what is seen: the letter, the hand, the axis or the quarter turn."""
    return {
        "D": drawings.letter, "C": drawings.mirrored.astype(int),
        "C2": drawings.quarter % 2, "C1": drawings.quarter % 4,
    }[symmetry]  # fmt: skip


def counted(symmetry: str, drawings: Drawings) -> list[list[int]]:
    """How many images each letter, hand and quarter turn has."""
    hand = drawings.mirrored.astype(int)
    return [np.bincount(each).tolist() for each in (drawings.letter, drawings.quarter % 4, hand)]


@pytest.mark.parametrize("symmetry", MOVED)
def test_classes_letters_and_fonts_are_equally_frequent(symmetry: str) -> None:
    labels, drawings = drawn(symmetry, 9 * 8 * 12)
    for values in (labels, drawings.letter, drawings.font):
        assert len(set(np.bincount(values).tolist())) == 1
    assert (np.abs(drawings.degrees) <= 15).all() == (symmetry in ("C2", "C1"))


@pytest.mark.parametrize("side", [8, 16, 33])
def test_no_turn_moves_a_letter_out_of_the_image(side: int) -> None:
    images = pictures(drawn("D", 240)[1], side)[:, 0]
    place = np.arange(side) - (side - 1) / 2
    outside = np.hypot(place[:, None], place) > side / 2 + 0.8
    assert not images[:, outside].any()
    assert (images.max((1, 2)) > 100).all()


@pytest.mark.parametrize("source", SETS, ids=lambda source: source.name)
def test_same_seed_gives_the_same_images_in_any_pieces(source: Source) -> None:
    few = replace(source, given=(("train", 96), ("validation", 48), ("test", 48)))
    once, again, other = (glyphs.read(few, seed) for seed in (3, 3, 4))
    for split in once:
        images = once[split].images.read(0, 48).images
        pieces = [again[split].images.read(i, i + 1).images for i in range(48)]
        np.testing.assert_array_equal(images, np.concatenate(pieces))
        assert (images != other[split].images.read(0, 48).images).any()
        assert once[split].images.identity == again[split].images.identity
        assert once[split].images.identity != other[split].images.identity


def test_test_fonts_are_in_no_other_split() -> None:
    given = glyphs.read(SETS[0], 0)
    fonts = {
        split: {images.group_names[i] for i in images.groups} for split, images in given.items()
    }
    assert fonts["test"] == set(glyphs.TEST_FONTS) and len(fonts["test"]) == 2 * len(FONTS) == 8
    assert fonts["train"] == fonts["validation"] == set(glyphs.TRAIN_FONTS)
    assert len(fonts["train"]) == 9 and not fonts["train"] & fonts["test"]


def test_sizes_are_those_of_the_parameters() -> None:
    settings = Prepare(
        datasets=("glyphs-hand",), seed=0, validation_fraction=0.1, test_fraction=0.2,
        glyphs={"image_size": 20, "train": 60, "validation": 30, "test": 40},
    )  # fmt: skip
    source = settings.known_source("glyphs-hand")
    given = glyphs.read(source, 0)
    assert {split: images.images.shape for split, images in given.items()} == {
        "train": (60, 1, 20, 20), "validation": (30, 1, 20, 20), "test": (40, 1, 20, 20)
    }  # fmt: skip


def test_another_font_under_the_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {family: dict.fromkeys(fonts, "0" * 64) for family, fonts in FONTS.items()}
    monkeypatch.setattr(glyph_drawing, "FONTS", changed)
    glyph_drawing.font_file.cache_clear()
    with pytest.raises(UserError, match=r"SHA-256 is 0+: install a version of matplotlib"):
        glyph_drawing.font_file("DejaVuSans")
    glyph_drawing.font_file.cache_clear()
