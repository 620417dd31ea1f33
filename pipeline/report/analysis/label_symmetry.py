"""The symmetry of the labels of a data set, where it is known, and the ceilings that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import measures
from pipeline.report.load import Study
from pipeline.report.text.names import parse_group
from pipeline.study.glyph_sets import TILT

EVERY_ANGLE = 360  # rotations, in place of all
# Orbits of C_n are enumerated at so many angles within 360 / n degrees: midpoints of steps on whose
# ends every multiple of 15 degrees lies, so that shares are exact.
STEPS = 24
ABSENT = -1  # an image that the data set does not have


@dataclass(frozen=True)
class LabelSymmetry:
    """The transformations that leave the label of every image as it is.

    Attributes
    ----------
    name
        `C` and `D` (every angle, without and with mirrors), or a point group. Data sets whose
        labels have a point group hold images near quarter turns, and none that is mirrored.
    """

    name: str

    @property
    def group(self) -> tuple[str, int]:
        """Family and number of rotations."""
        if self.name in ("C", "D"):
            return self.name, EVERY_ANGLE
        return parse_group(self.name) or ("C", 1)

    def contains(self, group: str) -> bool:
        """Return whether no element of a group changes a label.

        >>> LabelSymmetry("C2").contains("C2"), LabelSymmetry("C2").contains("D1")
        (True, False)
        """
        family, turns = parse_group(group) or ("C", 1)
        own_family, own_turns = self.group
        every = self.name in ("C", "D") or own_turns % turns == 0
        return every and (family == "C" or own_family == "D")

    def ceiling(self, group: str) -> float:
        """Return the highest accuracy that a network invariant to a group can reach.

        It names one class for all images of an orbit, at best the most frequent one; images that
        the data set does not have cost nothing.

        Examples
        --------
        >>> LabelSymmetry("C2").ceiling("C4"), LabelSymmetry("C2").ceiling("D2")
        (0.5, 1.0)
        >>> LabelSymmetry("C").ceiling("C4"), LabelSymmetry("C").ceiling("D1")
        (1.0, 0.5)
        """
        family, turns = parse_group(group) or ("C", 1)
        width = 360 / turns
        first = (np.arange(STEPS) + 0.5) * width / STEPS
        angles = first[:, None] + width * np.arange(turns)
        plain, mirrored = self._labels(angles, False), self._labels(-angles, True)
        orbits = [np.hstack([plain, mirrored])] if family == "D" else [plain, mirrored]
        images = sum(int((labels != ABSENT).sum()) for labels in orbits)
        return sum(_most_frequent(labels) for labels in orbits) / images

    def _labels(self, angles: NDArray[np.float64], mirrored: bool) -> NDArray[np.int64]:
        """Return the class of a letter at some angles; `ABSENT` where there is no such image."""
        if self.name in ("C", "D"):
            return np.full(angles.shape, mirrored and self.name == "C", dtype=np.int64)
        quarter = np.rint(angles / 90).astype(np.int64)
        present = (np.abs(angles - 90 * quarter) < TILT) & (not mirrored)
        classes = 4 // np.gcd(4, self.group[1])
        return np.where(present, quarter % classes, ABSENT)


def _most_frequent(orbits: NDArray[np.int64]) -> int:
    """Count the images of the most frequent class in every orbit (row)."""
    counts = [(orbits == label).sum(axis=1) for label in range(4)]
    return int(np.max(counts, axis=0).sum())


def of(study: Study, dataset: str) -> LabelSymmetry | None:
    """Return the label symmetry that the card of a data set states; None where it states none."""
    known = data_symmetry(study, dataset)
    if not known.get("labels"):
        return None
    return LabelSymmetry(str(known["labels"]))


def data_symmetry(study: Study, dataset: str) -> dict:
    """Return what preparation found about the symmetry of a data set, or nothing."""
    for source in study.sources:
        if source.datasets == (dataset,) and source.provenance.get("data_symmetry"):
            return dict(source.provenance["data_symmetry"])
    return {}


def fits(study: Study, cells: pd.DataFrame) -> pd.Series:
    """Return which cells have no more symmetry than the labels, as far as these are known."""
    known = {name: of(study, str(name)) for name in cells["dataset"].unique()}
    labels = [known[name] for name in cells["dataset"]]
    fitting = [
        one is None or one.contains(str(group))
        for one, group in zip(labels, cells["group"], strict=True)
    ]
    return pd.Series(fitting, index=cells.index, dtype=bool)


def meaningful(study: Study, rows: pd.DataFrame) -> pd.Series:
    """Return which rows, by `dataset` and `measure`, are of a test that keeps the labels.

    Turned test images of a data set whose labels are orientations have other labels.
    """
    turned = rows["measure"] != measures.UPRIGHT.column
    kept = {name: turns_keep_labels(study, str(name)) for name in rows["dataset"].unique()}
    return ~turned | rows["dataset"].map(kept).astype(bool)


def turns_keep_labels(study: Study, dataset: str) -> bool:
    """Return whether a quarter turn keeps the labels, as it does unless the card says otherwise."""
    known = of(study, dataset)
    return known is None or known.group[1] % 4 == 0
