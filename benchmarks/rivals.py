"""Exact ties against each other way to symmetry, by number of training images.

`python benchmarks/rivals.py` in a clone that has run `studies/rivals.yaml` writes into
`results/rivals/`, and of another study into a folder of its name there: `cells.csv`, a row a cell;
`trials.csv`, a row a trial of the search; `differences.csv`, each cell less the exact one of its
data set and number of training images, with a verdict, where one data set and measure is a family;
and `choices.csv`, which the first screen of the page is made from.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import analyse
from pipeline.report.analysis.comparisons import against_baseline
from pipeline.report.analysis.samples import sources_of
from pipeline.report.files.tables import as_csv
from pipeline.report.load import Settings, Study, load_study
from pipeline.study.params import load_params

OUT = Path("results/rivals")
SHOWN = (measures.UPRIGHT, measures.QUARTER, measures.ANY_ANGLE, measures.ERROR)
COSTS = (measures.PARAMS, measures.FLOPS, measures.TRAINING_FLOPS, measures.TRAINING_SECONDS)
SCORES = ["validation_accuracy", "validation_accuracy_turned"]
CELL = ["dataset", "cell", "model", "group", "augment", "training_images"]
FOUND = ["difference", "low", "high", "p", "p_holm", "word", "seeds", "images", "groups", "verdict"]


def main() -> None:
    """Write the tables."""
    params = load_params()
    settings = Settings(params.study, params.report.confidence, params.report.margin)
    study = load_study(settings, Path("data"))
    analysis = analyse(study)
    cells, runs = analysis.cells, analysis.runs
    exact = (cells["model"] == "gsa") & (cells["group"] != "C1") & (cells["augment"] == "none")
    baseline = replace(settings, baseline={"model": "gsa", "group": "", "augment": ""})
    found = against_baseline(sources_of(study, runs), cells.assign(baseline=exact), baseline)
    found = found[found["measure"] != measures.BALANCED.column]
    out = OUT if params.study == "rivals" else OUT / params.study
    out.mkdir(parents=True, exist_ok=True)
    (out / "cells.csv").write_text(as_csv(_cells(cells, runs)), encoding="utf-8")
    table = found.merge(cells[["id", *CELL]].drop(columns="dataset"), on="id")
    known = [name for name in FOUND if name in table]
    rows = table[[*CELL, "baseline_label", "measure", *known]]
    (out / "trials.csv").write_text(as_csv(trials(study)), encoding="utf-8")
    (out / "differences.csv").write_text(as_csv(rows), encoding="utf-8")
    (out / "choices.csv").write_text(as_csv(analysis.choices), encoding="utf-8")


def trials(study: Study) -> pd.DataFrame:
    """Return every trial of the search: what was tried, and its scores on validation images."""
    table = study.trials[["dataset", "cell", "trial", *SCORES, "best_epoch", "pareto"]].copy()
    configurations = study.trials["configuration"].map(json.loads)
    for name in ("learning_rate", "softness", "penalty"):
        table[name] = [one.get(name) for one in configurations]
    return table


def _cells(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return means with intervals, the value of each seed, what was chosen, and what it costs."""
    table = cells[[*CELL, "runs_finished", "seeds"]].copy()
    for measure in SHOWN:
        ends = ["", "_low", "_high"]
        table[[measure.column + end for end in ends]] = cells[
            [measure.column + end for end in ends]
        ]
        each = runs.sort_values("seed").groupby("id")[measure.column]
        text = each.apply(lambda values: " ".join(f"{value:.4g}" for value in values))
        table[f"{measure.column}_of_seeds"] = cells["id"].map(text)
    for measure in COSTS:
        table[measure.column] = cells[measure.column]
    first = runs.groupby("id")["configuration"].first()
    table["configuration"] = cells["id"].map(first)
    return table


if __name__ == "__main__":
    main()
