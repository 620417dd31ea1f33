"""Write the Parquet files of the sweep from its journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.results import records, schemas
from pipeline.results.records import Row, configured_row, log_rows
from pipeline.search.objectives import front
from pipeline.sweep.cell_search import CellSearch


def write_sweep(
    folder: Path,
    study: str,
    seed: int,
    searches: Iterable[CellSearch],
    provenance: Mapping[str, Any],
) -> None:
    """Write `trials.parquet`, `epochs.parquet` and `logs.parquet` of one data set."""
    trials: list[Row] = []
    epochs: list[Row] = []
    logs: list[Row] = []
    for search in searches:
        cell = {"study": study, "dataset": search.dataset, **search.cell.columns()}
        results = search.results()
        best = front([result["row"] for _, result in results], search.rules.objectives)
        for (trial, result), pareto in zip(results, best, strict=True):
            keys = {**cell, "trial": trial.number, "seed": seed}
            # A proposal that makes no model has parameters but no whole configuration.
            config = result["row"].get("configuration") or trial.params
            row = {**result["row"], "pareto": pareto}
            trials.append(configured_row(schemas.TRIALS, keys, config, row))
            epochs += [{**epoch, **keys, "stage": "sweep"} for epoch in result["epochs"]]
            logs += log_rows(result, {**keys, "stage": "sweep"})
    records.write(folder / "trials.parquet", trials, schemas.TRIALS, provenance)
    records.write(folder / "epochs.parquet", epochs, schemas.EPOCHS, provenance)
    records.write(folder / "logs.parquet", logs, schemas.LOGS, provenance)
