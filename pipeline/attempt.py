"""Train a configuration within a task: from its last checkpoint on, leaving one each epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.datasets import Dataset
from pipeline.execution.checkpoints import Checkpoint
from pipeline.execution.work import Context
from pipeline.training import Outcome, Snapshot, train

__all__ = ["attempt"]

Row = dict[str, Any]
# The configuration that a checkpoint belongs to, within its values.
CONFIGURATION = "configuration"


def attempt(config: Row, data: Dataset, context: Context, checkpoint: str | None) -> Outcome:
    """Train a configuration; what was done before an interruption is not done again.

    Parameters
    ----------
    config, data
        As for `pipeline.training.train`.
    context
        Takes the epochs, and notes about checkpoints that do not work.
    checkpoint
        Address of this task's checkpoint; None trains without.
    """
    place = None if checkpoint is None else Checkpoint(checkpoint)
    resume = None if place is None else load(place, config, context)

    def keep(snapshot: Snapshot) -> None:
        nonlocal place
        if place is None:
            return
        values = {**snapshot.values, CONFIGURATION: config}
        try:
            place.save(replace(snapshot, values=values).to_bytes())
        except OSError as error:
            context.note(f"{place.address}: no checkpoint could be written ({error})")
            place = None

    return train(
        config,
        data,
        device=context.device,
        on_epoch=context.report,
        on_state=None if place is None else keep,
        resume=resume,
    )


def load(place: Checkpoint, config: Row, context: Context) -> Snapshot | None:
    """Read a checkpoint of this configuration; a damaged one is set aside with a note."""
    try:
        content = place.load()
        if content is None:
            return None
        try:
            snapshot = Snapshot.from_bytes(content)
        except (ValueError, KeyError) as error:
            aside = place.set_aside()
            context.note(f"{place.address}: damaged ({error}), set aside as {aside}; begun anew")
            return None
    except OSError as error:
        context.note(f"{place.address}: cannot be read ({error}); begun anew")
        return None
    return snapshot if snapshot.values.get(CONFIGURATION) == config else None
