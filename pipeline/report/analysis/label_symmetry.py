"""The symmetry of the labels of a data set, where it is known, and the ceilings that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.load import Study
from pipeline.report.text.names import parse_group

# Every rotation is a group of this order here, and training on any angle teaches it.
EVERY_ANGLE = 0
TAUGHT = {"none": ("C", 1), "quarter": ("C", 4), "turn": ("C", EVERY_ANGLE),
          "turn_mirror": ("D", EVERY_ANGLE)}  # fmt: skip


@dataclass(frozen=True)
class LabelSymmetry:
    """The transformations that leave the label of every image as it is.

    Attributes
    ----------
    name
        `C` and `D` (every angle, without and with mirrors), or a point group.
    classes
        How many classes there are.
    """

    name: str
    classes: int

    @property
    def group(self) -> tuple[str, int]:
        """Family and number of rotations; `EVERY_ANGLE` for all."""
        if self.name in ("C", "D"):
            return self.name, EVERY_ANGLE
        return parse_group(self.name) or ("C", 1)

    def ceiling(self, group: str, augment: str) -> float:
        """Return the highest accuracy that a network invariant to a group can reach.

        It cannot distinguish the images of one orbit: of so many classes in it, it names one. A
        network trained on turned images is taken to be invariant to the turns.

        Examples
        --------
        >>> LabelSymmetry("C2", 2).ceiling("C4", "none")
        0.5
        >>> LabelSymmetry("C", 2).ceiling("C4", "none")
        1.0
        """
        known = parse_group(group) or ("C", 1)
        return min(self._one_of(*known), self._one_of(*TAUGHT.get(augment, ("C", 1))))

    def _one_of(self, family: str, turns: int) -> float:
        """One over the classes in an orbit of a group."""
        own_family, own_turns = self.group
        # The rotations that both have, as gcd(n, 0) = n has it for every angle.
        shared = math.gcd(turns, own_turns)
        orbit = 1.0 if turns == shared else (math.inf if turns == EVERY_ANGLE else turns / shared)
        if family == "D" and own_family == "C":
            orbit *= 2
        return 1 / min(orbit, self.classes)


def of(study: Study, dataset: str) -> LabelSymmetry | None:
    """Return the label symmetry that the card of a data set states; None where it states none."""
    known = data_symmetry(study, dataset)
    if not known.get("labels"):
        return None
    return LabelSymmetry(str(known["labels"]), int(known["classes"]))


def data_symmetry(study: Study, dataset: str) -> dict:
    """Return what preparation found about the symmetry of a data set, or nothing."""
    for source in study.sources:
        if source.datasets == (dataset,) and source.provenance.get("data_symmetry"):
            return dict(source.provenance["data_symmetry"])
    return {}


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
