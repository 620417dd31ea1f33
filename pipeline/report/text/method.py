"""How the numbers were computed, and their limits."""

from __future__ import annotations

import math

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import baseline_matched, baseline_name
from pipeline.report.analysis.statistics import minimum_pairs
from pipeline.report.text.formatting import PLUS_MINUS, counted, listed, plain, small
from pipeline.report.text.names import ROUNDING


def entries(analysis: Analysis) -> list[tuple[str, str]]:
    """Return pairs of a heading and a paragraph."""
    settings = analysis.settings
    percent = f"{100 * settings.confidence:g} %"
    needed = minimum_pairs(1 - settings.confidence)
    seeds = listed([str(int(s)) for s in sorted(analysis.runs["seed"].dropna().unique())], 20)
    trials = analysis.cells["trials"]
    budget = (
        counted(int(trials.min()), "trial") if trials.nunique() == 1
        else f"{trials.min()} to {trials.max()} trials"
    )  # fmt: skip
    return [
        ("Protocol", f"{budget} a cell, chosen on validation images; the winner of each cell is "
         f"trained again with seeds {seeds or 'none'}; test images are read once a run. Models "
         f"are trained on {_trained_on(analysis)} and tested on images as the data set has them, "
         "turned by quarter turns, and each turned by a random angle."),
        ("Invariance error", "Mean distance of the logits of a turned and the upright image, over "
         "the mean distance of the logits of two different images; mean of the three quarter "
         "turns. Quarter turns and mirrors move pixels without interpolation. Errors up to "
         f"{small(ROUNDING)} are float32 rounding."),
        ("Other angles", "Turning by other angles resamples the image. On small images (8 x 8 "
         "pixels) this alone changes the digit, so those columns also measure interpolation."),
        ("Intervals", f"{percent} Student t intervals of the mean over seeds, cut off at 0 and 1; "
         "for errors of the logarithm, or the range where a value is exactly zero. They cover the "
         "variation by initialisation and order of the data, not by the split or the test images"
         f"{_over_images(analysis)}. Over data sets, and for probabilities of improvement: "
         "percentile intervals of a bootstrap stratified by data set."),
        ("Comparisons", f"Against {baseline_name(settings)} of the same "
         f"{baseline_matched(settings)}, paired by seed; exact two-sided sign-flip test, "
         "Holm's correction within each kind of test images. "
         f"With n pairs its p-value cannot fall below 2 / 2^n: at least {needed} seeds are "
         f"needed for {percent} confidence, before any correction."),
        ("Failures", "A run that failed, diverged or ran out of time is in no mean and is counted "
         "below its cell; values that are not finite are left out likewise."),
    ]  # fmt: skip


AUGMENTED = {
    "none": "images as the data set has them",
    "quarter": "images turned at every step by a random multiple of 90 degrees",
    "turn": "images turned at every step by a random angle",
    "turn_mirror": "images turned at every step by a random angle and mirrored half of the time",
}


def _trained_on(analysis: Analysis) -> str:
    """What the training images were, as the runs' configurations say."""
    found = set(analysis.cells["augment"])
    return listed([AUGMENTED.get(name, plain(name, 20)) for name in sorted(found)])


def _over_images(analysis: Analysis) -> str:
    """How far an accuracy of 95 % would move with other test images, as the binomial has it."""
    images = analysis.runs["test_images"].dropna().astype(int)
    if images.empty:
        return ""
    half = 1.96 * math.sqrt(0.95 * 0.05 / images.min())
    return (
        f" ({images.min()} test images alone leave an accuracy of 95 % uncertain by "
        f"{PLUS_MINUS} {100 * half:.1f} points)"
    )
