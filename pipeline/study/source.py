"""What is known of a data set before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FEWEST_GROUPS", "Source"]

FEWEST_GROUPS = 4  # of test images: fewer say nothing of other groups (docs/statistics.md)


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    module
        Where its ``read() -> GivenSplits`` lives. It is imported only when the data are prepared,
        so that parameters can be checked without torch, scikit-learn or a file at hand.
    image_size
        Height and width in pixels.
    remarks
        What somebody who reads a result on it should know.
    class_names
        Of each label, where they say more than its number.
    unpacks
        Whether ``read`` takes a folder for what it has to unpack.
    given
        How many images there are in each part that its authors fixed.
    raw
        The folder of its published files below ``data/raw/``; empty where there are none.
    generated
        Whether ``read(source, seed)`` draws it, from this description and `prepare.seed`.
    symmetry
        Under what the labels stay the same by construction, of `SYMMETRIES`; empty where nobody
        knows.
    """

    name: str
    title: str
    module: str
    image_size: int
    channels: int
    classes: int
    address: str
    licence: str
    citation: str
    remarks: str = ""
    class_names: tuple[str, ...] = ()
    unpacks: bool = False
    given: tuple[tuple[str, int], ...] = ()
    raw: str = ""
    generated: bool = False
    symmetry: str = ""
