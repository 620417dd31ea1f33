"""A run on a worker: train with one seed, then open the test split, once, and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.execution.tasks import Context, Task

Payload = dict[str, Any]


def run_confirmation(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Do one task of confirm, of the kind its payload names."""
    return KINDS[task.payload["kind"]](task.payload, data, context)


def _run(payload: Payload, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train and measure the chosen configuration with one seed."""
    from gsa_core.models.network_file import to_bytes
    from pipeline.confirm.later_splits import drawn_name, with_split
    from pipeline.confirm.measures.asymmetry_curve import asymmetry_curve
    from pipeline.confirm.measures.measure import TestSplits, measure
    from pipeline.confirm.measures.predictions import pack
    from pipeline.execution.resumable_training import train_resumably

    config, dataset = payload["configuration"], data[payload["dataset"]]
    if "split" in payload:
        dataset = with_split(dataset, data[drawn_name(payload["dataset"], payload["split"])])
    # Training has no access to the test split.
    hidden = replace(dataset, test=None, test_turned=None)
    curve = asymmetry_curve(config, hidden)
    outcome = train_resumably(config, hidden, context, payload.get("checkpoint"), curve)
    value = {"row": outcome.row, "epochs": outcome.epochs}
    if outcome.row["status"] != "completed":
        return value
    measures, kept = measure(
        outcome.model,
        TestSplits(dataset.test, dataset.test_turned, dataset.background),
        group=config["group"],
        angles=payload["angles"],
        layer_images=payload["layer_images"],
        measured_images=payload["measured_images"],
        features=payload["features"],
    )
    measures.run["train_images"] = config["training_images"] or len(dataset.train)
    return {
        **value,
        "measures": vars(measures),
        "weights": to_bytes(outcome.model),
        "predictions": pack(kept.logits, kept.averages, kept.labels, payload["logits"]),
    }


def _hierarchy(payload: Payload, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Measure which symmetry each encoding has, on networks with random weights."""
    from pipeline.confirm.measures.hierarchy import measure_hierarchy

    rows = measure_hierarchy(payload["groups"], payload["seeds"], payload["encodings"])
    return {"row": {"status": "completed"}, "epochs": [], "hierarchy": rows}


KINDS = {"run": _run, "hierarchy": _hierarchy}
