"""How the numbers were computed, and their limits."""

from __future__ import annotations

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import baseline_matched, baseline_name
from pipeline.report.load import Settings
from pipeline.report.text.few_groups import kind_of_images, too_few
from pipeline.report.text.formatting import counted, listed, plain, small
from pipeline.report.text.names import ROUNDING
from pipeline.study.source import FEWEST_GROUPS


def entries(analysis: Analysis) -> list[tuple[str, str]]:
    """Return pairs of a heading and a paragraph."""
    settings = analysis.settings
    percent = f"{100 * settings.confidence:g} %"
    seeds = listed([str(int(s)) for s in sorted(analysis.runs["seed"].dropna().unique())], 20)
    trials = analysis.cells["trials"]
    searched = trials[trials > 0]
    budget = (
        "No trials" if searched.empty else counted(int(searched.min()), "trial")
        if searched.nunique() == 1 else f"{searched.min()} to {searched.max()} trials"
    )  # fmt: skip
    which = "a cell" if len(searched) == len(trials) else "a searched cell"
    return [
        ("Protocol", f"{budget} {which}, chosen on validation images{_objective(settings)}; the "
         f"winner of each cell is trained again with seeds {seeds or 'none'}; test images are read "
         f"once a run. Models are trained on {_trained_on(analysis)} and tested on images as the "
         "data set has them, turned by quarter turns, and each turned by a random angle."),
        *([("Cells", f"{'; '.join(settings.chosen)}.")] if settings.chosen else []),
        ("Invariance error", "Mean distance of the logits of a turned and the upright image, over "
         "the mean distance of the logits of two different images; mean of the three quarter "
         "turns. Quarter turns and mirrors move pixels without interpolation. Errors up to "
         f"{small(ROUNDING)} are float32 rounding."),
        ("Other angles", "Turning by other angles resamples the image. On small images (8 x 8 "
         "pixels) this alone changes the digit, so those columns also measure interpolation."),
        ("Intervals", f"{percent} intervals {_intervals(analysis)} "
         "Interquartile means over data sets: percentile "
         "intervals of a bootstrap stratified by data set. Intervals are not adjusted for the "
         "number of comparisons."),
        ("Comparisons", f"Against {baseline_name(settings)} of the same "
         f"{baseline_matched(settings)}: a t-test of the difference on the same test images with "
         "both sources of chance, p-values by Holm's method within one data set and kind of test "
         f"images. `Better` and `worse` need p < {1 - settings.confidence:.2g}; `clearly` that the "
         f"difference exceeds the margin of {100 * settings.margin:g} points with probability "
         f"{(1 + settings.confidence) / 2:g}; `the same` that the "
         f"{100 * (2 * settings.confidence - 1):g} % interval lies within the margin. Else it is "
         "undecided, with the seeds or test images that would decide"
         f"{_unless(analysis)}{_not_kept(analysis)}."),
        ("Failures", "A run that failed, diverged or ran out of time is in no mean and is counted "
         "below its cell; values that are not finite are left out likewise."),
    ]  # fmt: skip


AUGMENTED = {
    "none": "images as the data set has them",
    "quarter": "images turned at every step by a random multiple of 90 degrees",
    "turn": "images turned at every step by a random angle",
    "turn_mirror": "images turned at every step by a random angle and mirrored half of the time",
}


def _intervals(analysis: Analysis) -> str:
    """What intervals answer for."""
    errors = "for errors of the logarithm, or the range where a value is exactly zero."
    splits = int(analysis.runs["split"].nunique())
    if splits > 1:
        return (
            f"are for other splits of these images into training, validation and test, from "
            f"{splits}: Student t of the means over the seeds of a split, {errors} Splits share "
            "training images, so the variance is corrected after Nadeau and Bengio (2003). All "
            "splits have the hyperparameters of the search on the first, which has trained or "
            "validated on images that the others test: their accuracies may be a little too high, "
            "for all cells alike. None covers another search."
        )
    return (
        f"of test accuracies are for other seeds and for {kind_of_images(analysis)}, cut "
        "off at 0 and 1: the variance over seeds, moderated across cells, and that over "
        f"{_units(analysis)}. Other measures have Student t intervals of the mean over seeds, "
        f"{errors} None covers another split or another search."
    )


def _objective(settings: Settings) -> str:
    if settings.objective == "accuracy":
        return ""
    return f" by the objective {settings.objective}, as are epochs"


def _trained_on(analysis: Analysis) -> str:
    """What the training images were, as the runs' configurations say."""
    found = set(analysis.cells["augment"])
    return listed([AUGMENTED.get(name, plain(name, 20)) for name in sorted(found)])


def _units(analysis: Analysis) -> str:
    """The units of chance among the test images."""
    groups = int(analysis.comparisons["groups"].max() or 0) if len(analysis.comparisons) else 0
    return "groups of test images" if groups >= FEWEST_GROUPS else "test images"


def _unless(analysis: Analysis) -> str:
    if not too_few(analysis):
        return ""
    return f", unless the test has fewer than {FEWEST_GROUPS} groups or the difference is 0.0"


def _not_kept(analysis: Analysis) -> str:
    missing = analysis.comparisons["basis"].astype(str).str.contains("not kept").any()
    return (
        ". Where predictions were not kept, images count as if each cell had been tested on its own"
        if missing
        else ""
    )
