"""Results of two versions side by side: means, differences and a verdict each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.errors import UserError
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.families import Contrast, estimated, judged
from pipeline.report.analysis.measures import SHORT, Measure
from pipeline.report.analysis.samples import Row, Source
from pipeline.report.analysis.verdicts import BETTER, WORSE, Standard
from pipeline.report.predictions import IMAGES, PREDICTIONS, Predictions, read_predictions
from pipeline.report.text.formatting import percent
from pipeline.results import records, schemas
from pipeline.results.provenance import ENVIRONMENT
from pipeline.tools.support.history import Version, Workspace

__all__ = ["Results", "results_differences"]

CONFIDENCE = 0.95
# Time and memory differ between any two runs; a path is no result.
NOT_A_RESULT = [
    "seconds", "training_seconds", "training_images_per_second", "peak_memory_bytes", "device",
    "weights",
]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The runs of a version and where they came from; `reason` says why there are none.

    `predictions` are those of each data set that has any.
    """

    name: str
    runs: pd.DataFrame
    provenance: Mapping[str, Any]
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def of(cls, version: Version | Workspace) -> Results:
        """Read the confirmed runs of a version."""
        try:
            files = version.outputs("data/confirm")
            found = [path for name, path in sorted(files.items()) if name.endswith("/runs.parquet")]
            frames = [records.read(path, schemas.RUNS) for path in found]
            origin = records.read_provenance(found[0]) if found else {}
            predictions = dict(_predictions(files))
        except UserError as error:
            reason = str(error).replace(str(Path.cwd()) + "/", "")
            return cls(version.name, pd.DataFrame(), {}, reason=reason)
        if not frames:
            reason = f"{version.name}: holds no confirmed run"
            return cls(version.name, pd.DataFrame(), {}, reason=reason)
        return cls(version.name, pd.concat(frames, ignore_index=True), origin, predictions)

    def environment_differences(self, other: Results) -> list[str]:
        """Return the packages and machines that differ."""
        return [
            f"{key}: {self.provenance.get(key)} -> {other.provenance.get(key)}"
            for key in ENVIRONMENT
            if self.provenance and other.provenance
            and self.provenance.get(key) != other.provenance.get(key)
        ]  # fmt: skip


def _predictions(files: Mapping[str, Path]) -> Iterator[tuple[str, Predictions]]:
    for name, path in files.items():
        images = name.removesuffix(PREDICTIONS) + IMAGES
        if name.endswith(f"/{PREDICTIONS}") and images in files:
            yield read_predictions(path, files[images])


def results_differences(before: Results, after: Results, same_data: bool) -> tuple[list[str], str]:
    """Return a line for every cell and measure that differs, and what to conclude.

    Verdicts are those of the report: on equal data with kept predictions both versions are
    compared on the same test images, else as if each had its own. The cells of one data set and
    measure are a family.
    """
    for results in (before, after):
        if results.reason:
            return [f"cannot be compared: {results.reason}"], "results not compared"
    if _rows(before).equals(_rows(after)):
        return [], "no result changed: all rows are equal to the last digit"
    keys = [set(zip(one.runs["dataset"], one.runs["cell"], strict=True)) for one in (before, after)]
    lines = [
        f"{' '.join(key)}: only in {(before if key in keys[0] else after).name}"
        for key in sorted(keys[0] ^ keys[1])
    ]
    tables = [
        _judged(before, after, dataset, measure, same_data)
        for dataset in sorted({name for name, _ in keys[0] & keys[1]})
        for measure in MEASURED
    ]
    rows = pd.concat(tables)
    lines += [f"{row['name']}: {row['values']}; {row['verdict']}" for _, row in rows.iterrows()]
    if rows.empty:
        return lines, "no accuracy changed in the cells that both have"
    differ = int(rows["word"].isin([*BETTER, *WORSE]).sum())
    doubt = "" if differ else ": with these seeds and test images the change does not show"
    return sorted(lines), f"{differ} of {len(rows)} changed mean accuracies differ{doubt}"


def _rows(results: Results) -> pd.DataFrame:
    rows = results.runs.drop(columns=NOT_A_RESULT)
    return rows.sort_values(["dataset", "cell", "seed"]).reset_index(drop=True)


def _judged(
    before: Results, after: Results, dataset: str, measure: Measure, same_data: bool
) -> pd.DataFrame:
    """Judge the changes of one measure on one data set; cells of equal values are left out."""
    runs = [one.runs[one.runs["dataset"] == dataset] for one in (before, after)]
    values = [part.groupby("cell")[measure.column] for part in runs]
    cells = sorted(set(values[0].groups) & set(values[1].groups))
    changed = [
        cell for cell in cells
        if sorted(values[0].get_group(cell).dropna()) != sorted(values[1].get_group(cell).dropna())
    ]  # fmt: skip
    # One sample holds the cells of both versions: those of the second follow those of the first.
    places = {cell: i for i, cell in enumerate(cells)}
    known = [one.predictions.get(dataset, Predictions()) for one in (before, after)]
    joined = pd.concat([
        part[part["cell"].isin(cells)].assign(
            id=part["cell"].map(places) + side * len(cells), cell=f"{side} " + part["cell"]
        )
        for side, part in enumerate(runs)
    ])  # fmt: skip
    source = Source(joined, _together(*known) if same_data else Predictions())
    contrasts = [
        Contrast(
            {Row(places[cell] + len(cells), measure.column): 1.0,
             Row(places[cell], measure.column): -1.0},
            {"name": f"{dataset} {cell}, {SHORT[measure.column]}",
             "values": " -> ".join(percent(one.get_group(cell).mean()) for one in values)},
        )
        for cell in changed
    ]  # fmt: skip
    found = estimated(source, contrasts, measure) if contrasts else None
    return judged(found, Standard(confidence=CONFIDENCE), ["name", "values"])


def _together(first: Predictions, second: Predictions) -> Predictions:
    """Return the predictions of two versions on the same images, cells marked by their version."""
    correct = {
        (f"{side} {cell}", seed, condition): packed
        for side, one in enumerate((first, second))
        for (cell, seed, condition), packed in one.correct.items()
    }
    return Predictions(images=first.images, correct=correct)
