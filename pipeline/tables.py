"""Derive the Parquet files of sweep and confirm from what their journals and stores hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.files import write_copy
from pipeline.plan import Run
from pipeline.search.ledger import CellLedger
from pipeline.search.objectives import front

Row = dict[str, Any]
# Tables of what is measured of a run, by the name of their file.
MEASURED = {
    "angles": records.ANGLES,
    "layers": records.LAYERS,
    "moves": records.MOVES,
    "calibration": records.CALIBRATION,
    "confusion": records.CONFUSION,
    "features": records.FEATURES,
    "encodings": records.ENCODINGS,
}


def configured(
    schema: Any, keys: Mapping[str, Any], config: Mapping[str, Any], row: Mapping[str, Any]
) -> Row:
    """Join keys, configuration and measurements into one row of a table of the schema."""
    known = set(schema.names)
    return {
        **{name: value for name, value in config.items() if name in known},
        **{name: value for name, value in row.items() if name in known},
        **keys,
        "configuration": json.dumps(config, sort_keys=True),
    }


def write_sweep(
    folder: Path,
    study: str,
    seed: int,
    ledgers: Iterable[CellLedger],
    provenance: Mapping[str, Any],
) -> None:
    """Write `trials.parquet`, `epochs.parquet` and `logs.parquet` of one data set."""
    trials: list[Row] = []
    epochs: list[Row] = []
    logs: list[Row] = []
    for ledger in ledgers:
        cell = {"study": study, "dataset": ledger.dataset, **ledger.cell.columns()}
        results = ledger.results()
        best = front([result["row"] for _, result in results], ledger.rules.objectives)
        for (trial, result), pareto in zip(results, best, strict=True):
            keys = {**cell, "trial": trial.number, "seed": seed}
            # A proposal that makes no model has parameters but no whole configuration.
            config = result["row"].get("configuration") or trial.params
            row = {**result["row"], "pareto": pareto}
            trials.append(configured(records.TRIALS, keys, config, row))
            epochs += [{**epoch, **keys, "stage": "sweep"} for epoch in result["epochs"]]
            logs += log_of(result, {**keys, "stage": "sweep"})
    records.write(folder / "trials.parquet", trials, records.TRIALS, provenance)
    records.write(folder / "epochs.parquet", epochs, records.EPOCHS, provenance)
    records.write(folder / "logs.parquet", logs, records.LOGS, provenance)


def log_of(result: Mapping[str, Any], keys: Row) -> list[Row]:
    """Return the row of what was said in a trial or run; none where it never ran."""
    return [{**keys, "log": result["log"]}] if result.get("log") else []


def write_confirm(
    folder: Path,
    study: str,
    results: Sequence[tuple[Run, Mapping[str, Any]]],
    provenance: Mapping[str, Any],
) -> list[Row]:
    """Write the tables and weights of one data set; return the rows of `runs.parquet`."""
    runs: list[Row] = []
    epochs: list[Row] = []
    logs: list[Row] = []
    measured_rows: dict[str, list[Row]] = {name: [] for name in MEASURED}
    for run, value in results:
        keys = run.keys(study)
        trial = {**keys, "trial": run.trial}
        measures = value.get("measures", {"run": {}})
        measured = {
            **value["row"],
            **measures["run"],
            "tuned_validation_accuracy": run.tuned_validation_accuracy,
            "weights": write_weights(folder / "weights", run.name, value),
        }
        runs.append(configured(records.RUNS, trial, run.configuration or {}, measured))
        epochs += [{**row, **trial, "stage": "confirm"} for row in value["epochs"]]
        logs += log_of(value, {**trial, "stage": "confirm"})
        for name, rows in measured_rows.items():
            rows += [{**row, **keys} for row in measures.get(name, [])]
    records.write(folder / "runs.parquet", runs, records.RUNS, provenance)
    records.write(folder / "epochs.parquet", epochs, records.EPOCHS, provenance)
    records.write(folder / "logs.parquet", logs, records.LOGS, provenance)
    for name, schema in MEASURED.items():
        records.write(folder / f"{name}.parquet", measured_rows[name], schema, provenance)
    return runs


def write_weights(folder: Path, name: str, value: Mapping[str, Any]) -> str | None:
    """Write a run's network, for `gsa_core.load`; return the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    if "weights" not in value:
        return None
    path = folder / f"{name}.safetensors"
    write_copy(path, value["weights"])
    return path.as_posix()


def write_hierarchy(
    path: Path, study: str, rows: Iterable[Row], provenance: Mapping[str, Any]
) -> None:
    """Write `hierarchy.parquet`: which symmetry each encoding has, of the architecture alone."""
    own = [{**row, "study": study} for row in rows]
    records.write(path, own, records.HIERARCHY, provenance)
