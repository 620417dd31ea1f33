"""Ceilings of groups beyond the symmetry of the labels, against orbits of the glyphs themselves."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.prepare.sources.glyph_drawing import Drawings
from pipeline.prepare.sources.glyphs import TEST_FONTS, design
from pipeline.report.analysis.label_symmetry import LabelSymmetry
from pipeline.study.glyph_sets import SYMMETRIES

GROUPS = [f"{family}{turns}" for family in "CD" for turns in range(1, 9)]
BIN = 1.5  # degrees


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[np.ndarray, Drawings]]:
    """Classes and designs of many images of each glyph set."""
    generator = np.random.default_rng(0)
    return {name: design(name, 60_000, TEST_FONTS, generator) for name in SYMMETRIES}


def best_share(labels: np.ndarray, drawings: Drawings, turns: int, mirrors: bool) -> float:
    """Share of the images that are of the most frequent class of their orbit, angles in bins.

    Turning adds a multiple of 360 / n degrees, mirroring changes the side and the sign of the
    angle, and neither changes the letter: of an orbit, the angle modulo the first is left.
    """
    angles = 90 * drawings.quarter + drawings.degrees  # an image is mirrored before it is turned
    side = drawings.mirrored.astype(int)
    if mirrors:
        angles, side = np.where(side, -angles, angles), 0 * side
    bins = (angles % (360 / turns) / BIN).astype(int)
    # Letters matter only where they are the classes: elsewhere all behave alike.
    letter = drawings.letter if labels.max() > 3 else 0
    orbit = np.unique(1000 * (2 * letter + side) + bins, return_inverse=True)[1]
    counts = np.zeros((orbit.max() + 1, labels.max() + 1))
    np.add.at(counts, (orbit, labels), 1)
    return counts.max(axis=1).sum() / len(labels)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_ceilings_are_those_of_the_orbits_of_drawn_glyphs(
    drawn: dict[str, tuple[np.ndarray, Drawings]], symmetry: str, group: str
) -> None:
    found = best_share(*drawn[symmetry], int(group[1:]), group[0] == "D")
    # The most frequent class of few images is somewhat more frequent than it should be.
    assert LabelSymmetry(symmetry).ceiling(group) == pytest.approx(found, abs=0.04)


@pytest.mark.parametrize(
    ("symmetry", "group", "ceiling"),
    [
        ("D", "D4", 1), ("C", "D4", 1 / 2), ("C", "D1", 1 / 2), ("C", "C8", 1),
        ("C2", "C2", 1), ("C2", "D1", 1), ("C2", "D2", 1), ("C2", "C4", 1 / 2),
        ("C2", "D4", 1 / 2), ("C2", "C8", 1 / 2),
        ("C1", "D1", 1), ("C1", "C2", 1 / 2), ("C1", "D2", 1 / 2), ("C1", "D4", 1 / 4),
        # By hand: turns by 72 degrees join two classes but for images less than 3 degrees off.
        ("C1", "C5", 0.2 + 0.8 / 2), ("C1", "C3", 1), ("C1", "another", 1),
    ],
)  # fmt: skip
def test_a_group_beyond_the_labels_has_a_ceiling(symmetry: str, group: str, ceiling: float) -> None:
    assert LabelSymmetry(symmetry).ceiling(group) == pytest.approx(ceiling, rel=1e-12)


@pytest.mark.parametrize(
    ("symmetry", "inside"),
    [
        ("D", {"C1", "C2", "C4", "C8", "D1", "D2", "D4", "D8"}),
        ("C", {"C1", "C2", "C4", "C8"}), ("C2", {"C1", "C2"}), ("C1", {"C1"}),
    ],
)  # fmt: skip
def test_a_group_fits_if_no_element_changes_a_label(symmetry: str, inside: set[str]) -> None:
    groups = ("C1", "C2", "C4", "C8", "D1", "D2", "D4", "D8")
    assert {name for name in groups if LabelSymmetry(symmetry).contains(name)} == inside
