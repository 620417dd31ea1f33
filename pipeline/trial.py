"""What a worker does for the sweep: train one configuration on train and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.execution.work import Context, Task


def run_trial(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train one configuration; return its row and its epochs."""
    from pipeline.attempt import attempt

    payload = task.payload
    dataset, place = data[payload["dataset"]], payload.get("checkpoint")
    outcome = attempt(payload["configuration"], dataset, context, place)
    return {"row": outcome.row, "epochs": outcome.epochs}
