"""A trial on a worker: train one configuration, with the train and validation splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.execution.tasks import Context, Task


def run_trial(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train one configuration; return its row and its epochs."""
    from pipeline.execution.resumable_training import train_resumably

    payload = task.payload
    dataset, place = data[payload["dataset"]], payload.get("checkpoint")
    outcome = train_resumably(payload["configuration"], dataset, context, place)
    if "invariance_error" in payload.get("measures", ()) and outcome.row["status"] == "completed":
        error = quarter_turn_error(outcome.model, dataset.validation.images)
        outcome.row["validation_invariance_error"] = error
    return {"row": outcome.row, "epochs": outcome.epochs}


def quarter_turn_error(model: Any, images: Any) -> float:
    """Mean invariance error of the logits over the three quarter turns, of square images."""
    import torch

    from gsa_core import invariance_error
    from pipeline.training.inference import logits_of

    upright = logits_of(model, images)
    pixels = torch.from_numpy(images.copy())
    turned = (logits_of(model, pixels.rot90(turns, (-2, -1))) for turns in (1, 2, 3))
    return sum(invariance_error(upright, logits) for logits in turned) / 3
