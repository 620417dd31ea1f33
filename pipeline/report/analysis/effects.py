"""What changing one axis of the study does, averaged over everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis import families
from pipeline.report.analysis.comparisons import JUDGED
from pipeline.report.analysis.families import Contrast, estimated, judged, mean_over
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import Standard
from pipeline.report.load import Settings
from pipeline.report.text.names import AXES, augment_order, encoding_order, group_order

EVERY = "all data sets"
NAMES = ["axis", "level", "reference", "dataset", "measure", "contexts"]
COLUMNS = [*NAMES, *families.COLUMNS]
EFFECTS = ("group", "augment", "positional", "depth")


def axis_effects(
    sources: Mapping[str, Source], cells: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Return the effect of every level of some axes against a reference level.

    Cells that differ in that axis alone are matched; the effect is the mean difference of the
    `contexts` matched pairs. One row per effect, data set and measure, and one over all data sets
    that have it; the effects of one data set on one measure are a family.
    """
    standard = Standard(settings.margin, settings.confidence)
    tables = []
    for measure in JUDGED:
        found = []
        for name, source in sources.items():
            contrasts = list(_contrasts(cells[cells["dataset"] == name], source, measure, settings))
            one = estimated(source, contrasts, measure) if contrasts else None
            tables.append(judged(one, standard, NAMES))
            found += [one] if one else []
        over = judged(mean_over(found, ("axis", "level")), standard, NAMES)
        tables.append(over.assign(dataset=EVERY))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def shown(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the effects over all data sets, or those of the only one."""
    whole = effects[effects["dataset"] == EVERY]
    return effects if whole.empty else whole


def _contrasts(
    cells: pd.DataFrame, source: Source, measure: Measure, settings: Settings
) -> Iterator[Contrast]:
    measured = [source.has(Row(int(number), measure.column)) for number in cells["id"]]
    cells = cells.loc[np.array(measured, dtype=np.bool_), ["id", *AXES]]
    for axis in EFFECTS:
        levels = sorted(cells[axis].dropna().unique(), key=_order(axis))
        wanted = settings.baseline.get(axis)
        reference = wanted if wanted in levels else levels[0] if levels else None
        for level in levels:
            if level != reference:
                weights, contexts = _weights(cells, axis, level, reference, measure)
                if contexts:
                    yield Contrast(weights, {
                        "axis": axis, "level": str(level), "reference": str(reference),
                        "dataset": cells["dataset"].iloc[0], "measure": measure.column,
                        "contexts": contexts,
                    })  # fmt: skip


def _weights(
    cells: pd.DataFrame, axis: str, level: Any, reference: Any, measure: Measure
) -> tuple[dict[Row, float], int]:
    """Weights of the cells in which the axis has either level and all others are the same."""
    others = [name for name in AXES if name != axis]
    here, there = (
        {tuple(key): int(number) for number, *key in
         cells.loc[cells[axis] == value, ["id", *others]].itertuples(index=False, name=None)}
        for value in (level, reference)
    )  # fmt: skip
    shared = [key for key in here if key in there]
    weights: dict[Row, float] = defaultdict(float)
    for sign, side in ((1.0, here), (-1.0, there)):
        for key in shared:
            weights[Row(side[key], measure.column)] += sign / len(shared)
    return dict(weights), len(shared)


def _order(axis: str) -> Callable[[Any], Any]:
    keys: dict[str, Callable[[Any], Any]] = {
        "group": group_order, "positional": encoding_order, "augment": augment_order,
    }  # fmt: skip
    return keys.get(axis, np.int64)
