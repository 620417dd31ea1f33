"""For whom: accuracy and verdicts by class, by group of images, and by orientation.

Read off the kept predictions; nothing is trained or measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.analysis import families, measures
from pipeline.report.analysis.comparisons import baselines
from pipeline.report.analysis.contrasts import Sample, estimate, joined, sample_of
from pipeline.report.analysis.families import Contrast, Estimated, basis, judged
from pipeline.report.analysis.samples import CONDITIONS, Row, Source
from pipeline.report.analysis.verdicts import Standard
from pipeline.report.load import Settings
from pipeline.report.predictions import TestImages
from pipeline.report.text.names import AXES
from pipeline.report.text.verdict import NO_CLAIM

FEWEST_IMAGES, MOST_GROUPS = 5, 50  # of a group, of a data set: the largest
ORIENTATIONS = {"upright": "0°", "quarter_90": "90°", "quarter_180": "180°", "quarter_270": "270°"}
NAMES = [
    "dataset", "by", "subgroup", "measure", "id", "label", "baseline_id", "baseline_label", "share",
    "accuracy", "accuracy_low", "accuracy_high",
]  # fmt: skip
COLUMNS = [*NAMES, *families.COLUMNS, "worst"]
Scores = dict[int, NDArray[np.float32]]  # by the id of a cell: (runs, images)


@dataclass(frozen=True)
class Subgroup:
    """Some test images under some conditions: a class, a group, or all of them at one angle."""

    by: str
    name: str
    measure: str
    images: NDArray[np.bool_]
    conditions: tuple[str, ...]


def subgroups(
    sources: Mapping[str, Source], cells: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Return accuracy with its interval and the difference to the baseline, by subgroup.

    One row per data set, kind (``by``: class, group, orientation), subgroup, measure and cell.
    `share` is the part of the test images; `worst` the subgroup of lowest accuracy of the cell.
    The differences of one data set, kind and measure are a family. A cell whose predictions were
    not kept has no rows, nor have data sets with several splits, whose test images differ.
    """
    standard, tables = Standard(settings.margin, settings.confidence), []
    for name, source in sources.items():
        known = source.predictions.images
        here = cells.loc[cells["dataset"] == name, ["id", "label", "baseline", *AXES]]
        if known is None or source.splits > 1:
            continue
        everyone = list(subgroups_of(known))
        for key in dict.fromkeys((one.by, one.measure) for one in everyone):
            parts = [one for one in everyone if (one.by, one.measure) == key]
            tables.append(_family(parts, source, here, standard, settings))
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(tables, ignore_index=True)
    each = found.groupby(["dataset", "by", "measure", "id"])["accuracy"]
    found["worst"] = found["accuracy"] == each.transform("min")
    return found[COLUMNS]


def subgroups_of(known: TestImages) -> Iterator[Subgroup]:
    """The subgroups of the test images of a data set."""
    for measure in (measures.UPRIGHT, measures.QUARTER):
        conditions = CONDITIONS[measure.column]
        for label in np.unique(known.labels):
            yield Subgroup("class", str(label), measure.column, known.labels == label, conditions)
        for group in _groups(known.groups):
            yield Subgroup(
                "group", group, measure.column, np.asarray(known.groups == group), conditions
            )
    every = np.ones(len(known.labels), dtype=np.bool_)
    for condition, angle in ORIENTATIONS.items():
        yield Subgroup("orientation", angle, measures.QUARTER.column, every, (condition,))


def _groups(groups: NDArray[np.str_] | None) -> list[str]:
    """The largest groups, of so many images that an accuracy means something."""
    if groups is None:
        return []
    names, counts = np.unique(groups, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_GROUPS]
    return sorted(str(names[i]) for i in order if counts[i] >= FEWEST_IMAGES)


def _family(
    parts: Sequence[Subgroup], source: Source, cells: pd.DataFrame, standard: Standard,
    settings: Settings,
) -> pd.DataFrame:  # fmt: skip
    """Judge all cells in some subgroups against their baselines, together."""
    scores = {
        conditions: _scores(conditions, source, cells)
        for conditions in dict.fromkeys(one.conditions for one in parts)
    }
    images = source.predictions.images
    found = [_estimated(one, scores[one.conditions], images, cells, settings) for one in parts]
    kept = [one for one in found if one is not None]
    if not kept:
        return pd.DataFrame(columns=COLUMNS)
    whole = Estimated(
        [contrast for one in kept for contrast in one.contrasts], [],
        joined([one.estimates for one in kept]),
        pd.concat([one.counts for one in kept], ignore_index=True),
    )  # fmt: skip
    paired = [i for i, contrast in enumerate(whole.contrasts) if len(contrast.weights) > 1]
    single = [i for i, contrast in enumerate(whole.contrasts) if len(contrast.weights) == 1]
    tables = [judged(_some(whole, paired), standard, NAMES)] if paired else []
    baselines = _some(whole, single)
    rows = pd.DataFrame([dict(contrast.names) for contrast in baselines.contrasts])
    tables.append(pd.concat([rows, baselines.counts], axis=1).reindex(columns=COLUMNS[:-1]))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _some(found: Estimated, places: Sequence[int]) -> Estimated:
    contrasts = [found.contrasts[i] for i in places]
    counts = found.counts.iloc[list(places)].reset_index(drop=True)
    return Estimated(contrasts, [], found.estimates.rows(places), counts)


def _estimated(
    subgroup: Subgroup, scores: Scores, images: TestImages | None, cells: pd.DataFrame,
    settings: Settings,
) -> Estimated | None:  # fmt: skip
    """Every cell that has a baseline against it, and the baselines alone, on a subgroup."""
    sample, known = _sample(subgroup, scores, images, cells)
    if sample is None:
        return None
    low, high = estimate(sample, np.eye(len(known))).interval(settings.confidence)
    places = {int(number): i for i, number in enumerate(known["id"])}
    contrasts, weights = [], np.zeros((len(known), len(known)))
    others = baselines(known, settings)
    for i, (_, cell) in enumerate(known.iterrows()):
        baseline = others.get(int(cell["id"]))
        rows = {Row(int(cell["id"]), subgroup.measure): 1.0}
        weights[i, i] = 1.0
        if baseline is not None:
            rows[Row(int(baseline["id"]), subgroup.measure)] = -1.0
            weights[i, places[int(baseline["id"])]] = -1.0
        contrasts.append(Contrast(rows, {
            "dataset": cell["dataset"], "by": subgroup.by, "subgroup": subgroup.name,
            "measure": subgroup.measure, "id": int(cell["id"]), "label": cell["label"],
            "baseline_id": None if baseline is None else int(baseline["id"]),
            "baseline_label": None if baseline is None else baseline["label"],
            "share": float(subgroup.images.mean()), "accuracy": sample.accuracy[i],
            "accuracy_low": max(low[i], 0.0), "accuracy_high": min(high[i], 1.0),
        }))  # fmt: skip
    found = estimate(sample, weights)
    beyond = f"{NO_CLAIM} this group" if subgroup.by == "group" else ""
    counts = pd.DataFrame({
        "seeds": np.where(weights != 0, sample.seeds, 0).max(axis=1), "images": sample.images,
        "groups": sample.group_count, "datasets": 1, "splits": 0, "excluded": 0,
        "basis": [
            "; ".join(filter(None, [beyond, basis(sample, row != 0, bool(ok))]))
            for row, ok in zip(weights, found.seeds_known, strict=True)
        ],
    })  # fmt: skip
    return Estimated(contrasts, [], found, counts)


def _scores(conditions: tuple[str, ...], source: Source, cells: pd.DataFrame) -> Scores:
    """The scores of the runs of all cells, by id, that were kept of all test images."""
    images = source.predictions.images
    number = 0 if images is None else len(images.labels)
    runs, kept = source.finished[["id", "cell", "seed"]], {}
    for one, mine in runs[runs["id"].isin(cells["id"])].groupby("id"):
        scores = [
            source.predictions.of(str(cell), int(seed), conditions)
            for cell, seed in zip(mine["cell"], mine["seed"], strict=True)
        ]
        # A condition may have been measured on the first images alone: then it is no subgroup.
        whole = [score for score in scores if score is not None and len(score) == number]
        if whole:
            kept[int(one)] = np.stack(whole)
    return kept


def _sample(
    subgroup: Subgroup, scores: Scores, images: TestImages | None, cells: pd.DataFrame
) -> tuple[Sample | None, pd.DataFrame]:
    """The scores of all cells with kept predictions on the images of a subgroup."""
    known = cells[cells["id"].isin(list(scores))]
    if known.empty or not subgroup.images.any():
        return None, known
    most = max(len(one) for one in scores.values())
    correct = np.full((len(known), most, int(subgroup.images.sum())), np.nan)
    for place, number in zip(correct, known["id"], strict=True):
        one = scores[int(number)]
        place[: len(one)] = one[:, subgroup.images]
    groups = None if images is None or images.groups is None else images.groups[subgroup.images]
    return sample_of(correct, None if subgroup.by == "group" else groups), known
