"""What the design of a study left out, and where its configurations were tuned."""

from __future__ import annotations

import pandas as pd

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.text.formatting import listed, plain


def sentences(analysis: Analysis) -> list[str]:
    """Return what a reader must know of the design: other searches, cells left out by rule."""
    return [*_tuned(analysis.runs), *analysis.settings.left_out]


def _tuned(runs: pd.DataFrame) -> list[str]:
    """Say which data sets use the configurations that were found on another."""
    if "tuned_on" not in runs:
        return []
    known = runs[runs["tuned_on"].notna() & (runs["tuned_on"] != runs["dataset"])]
    pairs = known[["dataset", "tuned_on"]].drop_duplicates()
    parts = [
        f"{plain(dataset, 30)} those of {plain(other, 30)}"
        for dataset, other in pairs.itertuples(index=False)
    ]
    text = f"Configurations that were found on another data set: {listed(parts, 9)}."
    return [text] if parts else []
