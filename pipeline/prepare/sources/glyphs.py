"""Glyphs: images of letters whose labels have a symmetry that is known by construction.

In all sets a letter is stretched, sheared, scaled, shifted and made bolder at random, before it is
mirrored and turned; so mirrors and quarter turns of images are as likely as the images wherever
the labels allow them.

===============  =====================  =========================  ==========================
set              class                  angles                     mirrored
===============  =====================  =========================  ==========================
``glyphs-shape``  the letter             uniform                    half of the images
``glyphs-hand``   plain or mirrored      uniform                    by class
``glyphs-half``   0/180 or 90/270        15 degrees around these    never
``glyphs-pose``   0, 90, 180 or 270      15 degrees around these    never
===============  =====================  =========================  ==========================
"""

from __future__ import annotations

import numpy as np

from pipeline.prepare.labelled_images import GivenSplits, LabelledImages
from pipeline.prepare.sources.glyph_drawing import FONTS, LETTERS, Drawings, GlyphImages
from pipeline.study.glyph_sets import SYMMETRIES, TILT
from pipeline.study.source import Source

_STREAM = 4  # of the seed; `pipeline.prepare.stage` has the others

# Two fonts of each family are for the test alone: verdicts count fonts, not images.
TEST_FONTS = tuple(font for family in FONTS.values() for font in list(family)[:2])
TRAIN_FONTS = tuple(font for family in FONTS.values() for font in family if font not in TEST_FONTS)
_FONTS = (*TRAIN_FONTS, *TEST_FONTS)


def read(source: Source, seed: int) -> GivenSplits:
    """Return ``train``, ``validation`` and ``test``, drawn when they are read.

    Parameters
    ----------
    source
        Says how many images each split has, their size, and the symmetry of their labels.
    seed
        Decides all images.
    """
    number = list(SYMMETRIES).index(source.symmetry)
    given: GivenSplits = {}
    for place, (split, count) in enumerate(source.given):
        key = (_STREAM, number, place)
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        fonts = TEST_FONTS if split == "test" else TRAIN_FONTS
        labels, drawings = design(source.symmetry, count, fonts, generator)
        images = GlyphImages(drawings, _FONTS, LETTERS, source.image_size)
        given[split] = LabelledImages(images, labels, groups=drawings.font, group_names=_FONTS)
    return given


def design(
    symmetry: str, count: int, fonts: tuple[str, ...], generator: np.random.Generator
) -> tuple[np.ndarray, Drawings]:
    """Draw what each image shows; classes, letters and fonts are equally frequent.

    Parameters
    ----------
    symmetry
        Of the labels, of `SYMMETRIES`.
    count
        How many images.
    fonts
        Names of the fonts to use.
    generator
        The source of randomness.

    Returns
    -------
    labels : numpy.ndarray
        ``(count,)`` int64.
    drawings : Drawings
        Fonts are numbered as in all splits together.
    """

    def equally(options: int) -> np.ndarray:
        return generator.permutation(np.arange(count) % options)

    letter, turns, mirrored = equally(len(LETTERS)), equally(4), equally(2)
    uniform = symmetry in ("D", "C")
    labels = {"D": letter, "C": mirrored, "C2": turns % 2, "C1": turns}[symmetry]
    numbers = np.array([_FONTS.index(font) for font in fonts], dtype=np.int64)
    low, high = (0.0, 90.0) if uniform else (-TILT, TILT)
    size = generator.uniform(0.75, 0.95, count)
    bold = equally(2)
    drawings = Drawings(
        font=numbers[equally(len(fonts))],
        letter=letter,
        degrees=generator.uniform(low, high, count),
        quarter=turns,
        mirrored=mirrored.astype(bool) if uniform else np.zeros(count, dtype=bool),
        size=size,
        aspect=generator.uniform(-0.2, 0.2, count),
        shear=generator.uniform(-0.15, 0.15, count),
        shift=generator.uniform(0, 1, count) * (1 - size),
        shift_degrees=generator.uniform(0, 360, count),
        stroke=bold * generator.uniform(0.01, 0.05, count),
    )
    return labels.astype(np.int64), drawings
