"""Write the Parquet files of confirm from its finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common.files import write_copy
from pipeline.confirm.measures.predictions import rows as prediction_rows
from pipeline.confirm.plan import Run
from pipeline.results import records, schemas
from pipeline.results.records import Row, configured_row, log_rows

# Tables of the measures of a run, by the name of their file.
MEASURED = {
    "angles": schemas.ANGLES,
    "layers": schemas.LAYERS,
    "moves": schemas.MOVES,
    "calibration": schemas.CALIBRATION,
    "confusion": schemas.CONFUSION,
    "features": schemas.FEATURES,
    "encodings": schemas.ENCODINGS,
}


def write_confirm(
    folder: Path,
    study: str,
    results: Sequence[tuple[Run, Mapping[str, Any]]],
    provenance: Mapping[str, Any],
    keep: str,
) -> list[Row]:
    """Write the tables and weights of one data set; return the rows of `runs.parquet`.

    `keep` is what is kept of every test image: `logits`, `predictions` or `none`.
    """
    runs: list[Row] = []
    epochs: list[Row] = []
    logs: list[Row] = []
    predictions: list[Row] = []
    measured_rows: dict[str, list[Row]] = {name: [] for name in MEASURED}
    for run, value in results:
        keys = run.keys(study)
        trial = {**keys, "trial": run.trial}
        tuned = {"tuned_on": run.tuned_on, "tuned_cell": run.tuned_cell}
        chosen = {**trial, "split": run.split, **tuned}
        measures = value.get("measures", {"run": {}})
        measured = {
            **value["row"],
            **measures["run"],
            "tuned_validation_accuracy": run.tuned_validation_accuracy,
            "weights": write_weights(folder / "weights", run.name, value),
        }
        runs.append(configured_row(schemas.RUNS, chosen, run.configuration or {}, measured))
        epochs += [{**row, **trial, "stage": "confirm"} for row in value["epochs"]]
        logs += log_rows(value, {**trial, "stage": "confirm"})
        if keep != "none" and "predictions" in value:
            kept = prediction_rows(value["predictions"], keep_logits=keep == "logits")
            predictions += [{**row, **keys, "split": run.split} for row in kept]
        for name, rows in measured_rows.items():
            rows += [{**row, **keys} for row in measures.get(name, [])]
    records.write(folder / "runs.parquet", runs, schemas.RUNS, provenance)
    records.write(folder / "epochs.parquet", epochs, schemas.EPOCHS, provenance)
    records.write(folder / "logs.parquet", logs, schemas.LOGS, provenance)
    records.write(folder / "predictions.parquet", predictions, schemas.PREDICTIONS, provenance)
    for name, schema in MEASURED.items():
        records.write(folder / f"{name}.parquet", measured_rows[name], schema, provenance)
    return runs


def write_images(
    folder: Path, study: str, dataset: str, images: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write `images.parquet`: test images in the order in which predictions list them, by split."""
    rows: list[Row] = [
        {"study": study, "dataset": dataset, "split": split, "image": image,
         "test_image": test_image, "label": label, "group": group}
        for split, listed in enumerate(images)
        for image, (test_image, label, group) in enumerate(_numbered(listed))
    ]  # fmt: skip
    records.write(folder / "images.parquet", rows, schemas.IMAGES, provenance)


def _numbered(listed: Mapping[str, Any]) -> Iterable[tuple[int, int, str | None]]:
    groups = listed["groups"] or [None] * len(listed["labels"])
    return zip(listed["test_images"], listed["labels"], groups, strict=True)


def write_mistakes(
    folder: Path, study: str, dataset: str, rows: Iterable[Row], provenance: Mapping[str, Any]
) -> None:
    """Write `mistakes.parquet`: the most confidently wrong test images."""
    rows = [{**row, "study": study, "dataset": dataset} for row in rows]
    records.write(folder / "mistakes.parquet", rows, schemas.MISTAKES, provenance)


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
    rows = [{**row, "study": study} for row in rows]
    records.write(path, rows, schemas.HIERARCHY, provenance)
