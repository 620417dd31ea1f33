"""Exact symmetry against its rivals: turned images, averages at test time, and other models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.effects import COLUMNS, EVERY, NAMES
from pipeline.report.analysis.families import Contrast, Estimated, estimated, judged, mean_over
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import Standard
from pipeline.report.load import Settings
from pipeline.report.text.names import AXES, augment_order, group_order
from pipeline.study.models import reference_of

PLAIN = "none"  # the augmentation of the exact cells
# Of every measure: the averages over an orbit at test time that have it.
AVERAGED: dict[Measure, dict[str, Measure]] = {
    measures.UPRIGHT: {"C4": measures.TTA_C4, "D4": measures.TTA_D4},
    measures.QUARTER: {"C4": measures.QUARTER_TTA_C4},
    measures.ANY_ANGLE: {"C4": measures.ANY_ANGLE_TTA_C4, "D4": measures.ANY_ANGLE_TTA_D4},
}


def rivals(sources: Mapping[str, Source], cells: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Compare cells of every group without augmentation with cells of the baseline's group.

    The latter are trained on turned images (axis `augment`) or averaged over an orbit at test time
    (axis `averaging`); rivals by model (axis `model`) have the group of the exact cell or the
    baseline's. All else is the same, and differences are averaged over the `contexts` matched
    pairs. Columns and rows are those of `effects`; a family is one data set, measure and group.
    """
    standard = Standard(settings.margin, settings.confidence)
    tables = []
    for measure in MEASURED:
        found: dict[str, list[Estimated]] = defaultdict(list)
        for name, source in sources.items():
            drawn = (cells["dataset"] == name) & (cells["runs_finished"] > 0)
            here = cells.loc[drawn, ["id", *AXES]]
            every = _contrasts(here, source, measure, settings)
            for group, contrasts in groupby(every, key=lambda contrast: contrast.names["level"]):
                one = estimated(source, list(contrasts), measure)
                tables.append(judged(one, standard, NAMES))
                found[group] += [one] if one else []
        for estimates in found.values():
            over = judged(mean_over(estimates, ("axis", "level", "reference")), standard, NAMES)
            tables.append(over.assign(dataset=EVERY))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _contrasts(
    cells: pd.DataFrame, source: Source, measure: Measure, settings: Settings
) -> Iterator[Contrast]:
    own = str(settings.baseline.get("group", "C1"))
    tied = cells["model"] == cells["model"].map(reference_of)
    exact = cells[(cells["group"] != own) & (cells["augment"] == PLAIN) & tied]
    found = cells[~tied & (cells["augment"] == PLAIN)]
    models = found.assign(rival=found["model"], model=found["model"].map(reference_of))
    cells = cells[tied]
    for group in sorted(exact["group"].unique(), key=group_order):
        mine = exact[exact["group"] == group]
        for (rival, other), part in models.groupby(["rival", "group"]):
            if other in (own, group):
                yield from _matched(mine, part, source, measure, measure, {
                    "axis": "model", "level": group, "reference": f"{rival} {other}",
                })  # fmt: skip
        for augment in sorted(set(cells["augment"]) - {PLAIN}, key=augment_order):
            turned = cells[(cells["group"] == own) & (cells["augment"] == augment)]
            yield from _matched(mine, turned, source, measure, measure, {
                "axis": "augment", "level": group, "reference": f"{own} {augment}",
            })  # fmt: skip
        plain = cells[(cells["group"] == own) & (cells["augment"] == PLAIN)]
        for orbit, averaged in AVERAGED[measure].items():
            yield from _matched(mine, plain, source, measure, averaged, {
                "axis": "averaging", "level": group, "reference": f"{own} averaged over {orbit}",
            })  # fmt: skip


def _matched(
    mine: pd.DataFrame, others: pd.DataFrame, source: Source, measure: Measure, other: Measure,
    names: Mapping[str, str],
) -> Iterator[Contrast]:  # fmt: skip
    """Yield the mean difference of cells that agree but for group and augmentation."""
    shared = [axis for axis in AXES if axis not in ("group", "augment")]
    pairs = [
        (Row(int(one), measure.column), Row(int(two), other.column))
        for one, two in mine.merge(others, on=shared)[["id_x", "id_y"]].itertuples(index=False)
    ]
    pairs = [(one, two) for one, two in pairs if source.has(one) and source.has(two)]
    if pairs:
        weights: dict[Row, float] = defaultdict(float)
        for one, two in pairs:
            weights[one] += 1 / len(pairs)
            weights[two] -= 1 / len(pairs)
        dataset = str(mine["dataset"].iloc[0])
        yield Contrast(dict(weights), {
            **names, "dataset": dataset, "measure": measure.column, "contexts": len(pairs),
        })  # fmt: skip
