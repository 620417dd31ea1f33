"""The data sets a study can name, and what is known of each before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    module
        Where its ``read() -> Parts`` lives. It is imported only when the data are prepared, so
        that parameters can be checked without torch, scikit-learn or a file at hand.
    image_size
        Height and width in pixels.
    remarks
        What somebody who reads a result on it should know.
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


_DIGITS = Source(
    name="digits",
    title="Optical Recognition of Handwritten Digits, test part (scikit-learn)",
    module="pipeline.datasets.digits",
    image_size=8,
    channels=1,
    classes=10,
    address="https://doi.org/10.24432/C50P49",
    licence="CC BY 4.0",
    citation=(
        "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49"
    ),
    remarks=(
        "13 people wrote these digits, and who wrote which is not recorded, so each of them is "
        "in every split: the test says nothing about the hand of a new writer."
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in (_DIGITS,)}
