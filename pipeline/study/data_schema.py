"""The section `prepare` of params.yaml: data sets, those of the user, and how they are split."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.study.datasets import SOURCES, sized
from pipeline.study.source import Source
from pipeline.study.values import FINITE, Name, Section, Several, Text, accepts

__all__ = ["Glyphs", "OwnSource", "Prepare"]

Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Fraction = Annotated[float, Field(gt=0, lt=1), FINITE]
Drawn = Annotated[int, Field(strict=True, ge=24, le=10_000_000)]
Side = Annotated[int, Field(strict=True, ge=4, le=1024)]
NoGroups = Annotated[None, Field(description="no groups")]
NotStated = Annotated[None, Field(description="not stated")]


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError("the second number is not larger")
    return pair


Bound = Annotated[float, Field(ge=-1e18, le=1e18), FINITE]
Range = Annotated[
    tuple[Bound, Bound],
    AfterValidator(_ascending),
    accepts("[low, high], two numbers of which the second is larger"),
]


class OwnSource(Section):
    """A data set of the user's own: where it is and what every image of it becomes."""

    kind: Literal["folder", "arrays", "parquet"]
    """Images in folders of their class, NumPy arrays, or Parquet files."""
    path: Text
    """The folder or file, from the folder of the project."""
    size: Side | Annotated[tuple[Side, Side], accepts("[height, width]")]
    """Height and width in pixels, or [height, width] in the middle of squares of the longer."""
    fit: Literal["resize", "crop", "pad"]
    """Whether an image is stretched, cut to its middle, or framed."""
    channels: Annotated[int, Field(strict=True, ge=1, le=64)]
    """1 is grey, 3 is colour; more with `kind: arrays`."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """How pixels are stored."""
    value_range: Literal["auto", "type"] | Range = "auto"
    """Which stored values are black and white."""
    background: Literal["auto", "black", "white"] = "auto"
    """What lies behind transparent parts."""
    pad_value: Literal["edge"] | Annotated[float, Field(ge=0, le=255), FINITE] = 0
    """What is around an image that is framed."""
    splits: Literal["made", "given"] = "made"
    """Where names of folders or arrays say splits, it has to be set."""
    min_count: Count = 1
    """Classes with fewer images are left out."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Whether an image that cannot be read ends `prepare` or is left out."""
    group_pattern: Text | NoGroups = None
    """A regular expression of file names: images of one group stay in one split."""
    image_column: Text = "image"
    """The column of Parquet files that holds images."""
    label_column: Text = "label"
    """The column of Parquet files that holds class names."""
    group_column: Text | NoGroups = None
    """A column of Parquet files: images of one group stay in one split."""
    title: Text | Annotated[None, Field(description="its name")] = None
    """For the data set's card and the report."""
    licence: Text | NotStated = None
    """For the data set's card."""
    citation: Text | NotStated = None
    """For the data set's card."""
    remarks: Text | Annotated[None, Field(description="none")] = None
    """For the data set's card."""

    @property
    def side(self) -> int:
        """Height and width of the square that an image becomes."""
        return self.size if isinstance(self.size, int) else max(self.size)

    @property
    def framed(self) -> bool:
        """Whether something may be around an image."""
        return self.fit == "pad" or not isinstance(self.size, int)


class Glyphs(Section):
    """Sizes of the data sets glyphs-shape, glyphs-hand, glyphs-half and glyphs-pose."""

    image_size: Annotated[int, Field(strict=True, ge=8, le=256)] = 16
    """Height and width in pixels."""
    train: Drawn = 1_000
    """Training images of each set."""
    validation: Drawn = 1_000
    """Validation images of each set."""
    test: Drawn = 5_000
    """Test images of each set, of fonts that the other splits do not have."""


class Prepare(Section):
    """Data sets and how they are split; what is left of them is for training."""

    datasets: Several[Name]
    """Names of known data sets or of `sources`; `mnist-20` has 20 training images a class."""
    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
    """Of the splits, of the turned test images and of what is generated."""
    validation_fraction: Fraction
    """Of the images of a source that does not give splits."""
    test_fraction: Fraction
    """Of the images of a source that does not give splits."""
    train_fraction: Annotated[float, Field(gt=0, le=1), FINITE] = 1
    """Fewer training images, of every class alike; smaller studies are part of larger ones."""
    images_per_class: Count | Annotated[None, Field(description="train_fraction decides")] = None
    """Training images of a class."""
    test_images: Count | Annotated[None, Field(description="all of them")] = None
    """About so many test images, drawn once: for a study that only has to be quick."""
    shrink: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """So many times smaller in height and width, after turning; sources have a size instead."""
    allow_leaks: Annotated[bool, Field(strict=True)] = False
    """Whether splits that a source gives may share images; the card counts them either way."""
    symmetry_test: Annotated[bool, Field(strict=True)] = True
    """Whether the symmetry of each data set is measured, on a sample of at most 2,000 images."""
    glyphs: Glyphs = Field(default_factory=Glyphs)
    """How many images of letters are drawn, and how large."""
    sources: dict[Name, OwnSource] = Field(default_factory=dict)
    """Data sets of the user's own, by name."""

    def known_source(self, dataset: str) -> Source | None:
        """Return a known data set of this name as it will be made; None for one of `sources`."""
        source = SOURCES.get(sized(dataset, self.sources)[0])
        if source is None or not source.generated:
            return source
        drawn = self.glyphs
        given = (("train", drawn.train), ("validation", drawn.validation), ("test", drawn.test))
        return replace(source, image_size=drawn.image_size, given=given)
