"""Families of contrasts that are judged together: one data set, one measure, one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis import measures, verdicts
from pipeline.report.analysis.contrasts import (
    Estimates,
    Sample,
    joined,
    mean_of,
)
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import NOT_COMPARED, Standard
from pipeline.report.text.formatting import counted
from pipeline.report.text.verdict import NO_CLAIM, sentence
from pipeline.study.source import FEWEST_GROUPS

FEWEST_SPLITS = 5  # with fewer there is an interval and no word
COUNTS = ["seeds", "images", "groups", "excluded", "datasets", "basis"]
COLUMNS = [*COUNTS, *verdicts.COLUMNS, "verdict"]


@dataclass(frozen=True)
class Contrast:
    """Weights of the rows of a sample, and the columns that name the contrast in a table."""

    weights: Mapping[Row, float]
    names: Mapping[str, Any]


@dataclass(frozen=True)
class Estimated:
    """Contrasts that could be estimated, and those with a row that has no finished run."""

    contrasts: Sequence[Contrast]
    missing: Sequence[Contrast]
    estimates: Estimates
    counts: pd.DataFrame  # columns COUNTS, a row per estimated contrast


def estimated(source: Source, contrasts: Sequence[Contrast], measure: Measure) -> Estimated | None:
    """Estimate contrasts of one data set; None where nothing was measured."""
    rows = list(dict.fromkeys(row for contrast in contrasts for row in contrast.weights))
    known = [row for row in rows if source.has(row)]
    usable = [contrast for contrast in contrasts if set(contrast.weights) <= set(known)]
    missing = [contrast for contrast in contrasts if not set(contrast.weights) <= set(known)]
    # Contrasts of rows that were measured on fewer images have a sample of their own.
    sizes = {row: source.images(row) for row in known}
    batches: dict[int, list[Contrast]] = {}
    for contrast in usable:
        batches.setdefault(min(sizes[row] for row in contrast.weights), []).append(contrast)
    balanced = measure == measures.BALANCED
    parts = [
        part
        for images, batch in batches.items()
        if (part := _on_same_images(
            source, batch, [row for row in known if sizes[row] >= images], balanced))
    ]  # fmt: skip
    if not parts:
        return None
    return Estimated(
        [contrast for part in parts for contrast in part.contrasts], missing,
        joined([part.estimates for part in parts]),
        pd.concat([part.counts for part in parts], ignore_index=True),
    )  # fmt: skip


def _on_same_images(
    source: Source, contrasts: Sequence[Contrast], known: Sequence[Row], balanced: bool
) -> Estimated | None:
    weights = np.array([[one.weights.get(row, 0.0) for row in known] for one in contrasts])
    both = source.estimated(known, weights, balanced)
    if both is None:
        return None
    sample, found = both
    used = weights != 0
    splits = found.image_df + 1 if source.splits > 1 else np.zeros(len(weights))
    counts = pd.DataFrame({
        "seeds": np.where(used, sample.seeds, 0).max(axis=1), "images": sample.images,
        "groups": sample.group_count, "datasets": 1, "splits": splits.astype(np.int64),
        "excluded": used @ np.array([source.excluded(row) for row in known]),
        "basis": [
            counted(int(k), "split") if source.splits > 1 else basis(sample, cells, bool(known))
            for k, cells, known in zip(splits, used, found.seeds_known, strict=True)
        ],
    })  # fmt: skip
    return Estimated(contrasts, [], found, counts)


def basis(sample: Sample, used: np.ndarray, seeds_known: bool) -> str:
    """Say what a verdict is limited to, where that is less than other seeds and images."""
    parts = []
    if not seeds_known:
        parts.append("of these trained networks alone")
    if 0 < sample.group_count < FEWEST_GROUPS:
        one = sample.group_count == 1
        these = "this group" if one else f"these {sample.group_count} groups"
        parts.append(f"{NO_CLAIM} {these}")
    if sample.right is None or np.isnan(sample.right[used]).any():
        parts.append("images not kept: binomial variance, as if each cell had its own")
    return "; ".join(parts)


def mean_over(found: Sequence[Estimated], names: Sequence[str]) -> Estimated | None:
    """Average over data sets the contrasts that agree in some names."""
    places: dict[Any, list[tuple[Estimated, int]]] = {}
    for one in found:
        for i, contrast in enumerate(one.contrasts):
            key = tuple(contrast.names[name] for name in names)
            places.setdefault(key, []).append((one, i))
    several = [where for where in places.values() if len(where) > 1]
    if not several:
        return None
    counts = []
    for where in several:
        rows = pd.DataFrame([one.counts.iloc[i] for one, i in where])
        limits = [limit for limit in dict.fromkeys(rows["basis"]) if limit]
        counts.append({
            "seeds": rows["seeds"].max(), "images": rows["images"].sum(), "groups": 0,
            "datasets": len(rows), "excluded": rows["excluded"].sum(),
            "splits": rows["splits"].min(),
            "basis": "; ".join(["on these data sets", *limits]),
        })  # fmt: skip
    means = [mean_of([one.estimates.rows([i]) for one, i in where]) for where in several]
    contrasts = [where[0][0].contrasts[where[0][1]] for where in several]
    return Estimated(contrasts, [], joined(means), pd.DataFrame(counts))


def judged(found: Estimated | None, standard: Standard, names: Sequence[str]) -> pd.DataFrame:
    """Judge a family: the columns `names` and `COLUMNS`, a row per contrast."""
    columns = [*names, *COLUMNS]
    if found is None:
        return pd.DataFrame(columns=columns)
    counts = found.counts
    units = np.where(counts["groups"] >= FEWEST_GROUPS, counts["groups"], counts["images"])
    rows = verdicts.family(found.estimates, standard, counts["seeds"].to_numpy(), units)
    table = pd.concat([_names(found.contrasts), counts, rows], axis=1)
    over_splits = counts["basis"].str.contains("split").to_numpy()
    few = over_splits & (counts["splits"] < FEWEST_SPLITS).to_numpy()
    table.loc[few, "word"] = NOT_COMPARED
    table.loc[over_splits, ["seeds_needed", "images_needed"]] = np.nan  # known of one split alone
    if found.missing:
        lost = _names(found.missing).assign(
            seeds=0, images=0, groups=0, datasets=1, excluded=0, basis="no finished run",
            comparisons=0, word=NOT_COMPARED,
        )  # fmt: skip
        table = pd.concat([table, lost], ignore_index=True)
    table["verdict"] = [sentence(row, standard.margin) for _, row in table.iterrows()]
    return table[columns]


def _names(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    return pd.DataFrame([dict(contrast.names) for contrast in contrasts])
