"""Train a configuration within a task: from its last checkpoint, in halves if memory runs out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from pipeline.common.failures import brief, describe
from pipeline.dataset import Dataset
from pipeline.execution.checkpoints import Checkpoint
from pipeline.execution.tasks import Context
from pipeline.training.devices import device_name, peak_memory
from pipeline.training.loop import Outcome, train
from pipeline.training.training_state import TrainingState

__all__ = ["train_resumably"]

Row = dict[str, Any]
Measure = Callable[[torch.nn.Module, Row], None]
# How libraries say in a RuntimeError that there is no memory.
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
# Seconds between two checkpoints, and the most that writing them may take of the time: an epoch of
# a second with a large state would otherwise write more than it trains.
INTERVAL, SHARE = 10.0, 0.05
# The configuration that a checkpoint belongs to, within its values.
CONFIGURATION = "configuration"


def train_resumably(
    config: Row,
    data: Dataset,
    context: Context,
    checkpoint: str | None,
    measure: Measure | None = None,
) -> Outcome:
    """Train a configuration; what was done before an interruption is not done again.

    Where memory runs out it is trained once more, each batch in two halves whose gradients add up:
    the same steps but for layers that look at a whole batch. The row says so, and the
    configuration it carries is the one that was trained. If that fails too, the row is a failure.

    Parameters
    ----------
    config, data
        As for `pipeline.training.loop.train`.
    context
        Takes the epochs, and notes about checkpoints that do not work.
    checkpoint
        Address of this task's checkpoint; None trains without.
    measure
        Called after each epoch, as by `pipeline.training.loop.train`.
    """
    start = time.monotonic()
    try:
        return _train(config, data, context, checkpoint, measure)
    except Exception as error:
        if not is_out_of_memory(error) or config["batch_size"] == 1:
            raise
        first = brief(describe(error))
    # Only here has the error let go of the tensors that its traceback held.
    _release()
    context.epochs.clear()
    halved = {**config, "batch_parts": 2 * config.get("batch_parts", 1)}
    outcome = _train_halved(halved, data, context, checkpoint, measure)
    _release()
    reason = outcome.row["reason"]
    note = f"each batch was trained in halves after {first}"
    outcome.row.update(reason=f"{reason}\n{note}" if reason else note)
    outcome.row.update({CONFIGURATION: halved, "seconds": time.monotonic() - start})
    return outcome


def _train_halved(
    config: Row,
    data: Dataset,
    context: Context,
    checkpoint: str | None,
    measure: Measure | None,
) -> Outcome:
    """Train a configuration; where memory runs out this is a failure with its peak."""
    try:
        return _train(config, data, context, checkpoint, measure)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        row: Row = {"status": "failed", "reason": describe(error)}
    row["peak_memory_bytes"] = peak_memory(context.device)
    row["device"] = device_name(context.device)
    return Outcome(torch.nn.Identity(), row, list(context.epochs))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is no memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def _release() -> None:
    """Give back what a training held, for the next one on this device."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _train(
    config: Row,
    data: Dataset,
    context: Context,
    checkpoint: str | None,
    measure: Measure | None,
) -> Outcome:
    """Train a configuration from its checkpoint, if there is one.

    It leaves one after its first epoch, and after a later one where the last is old enough.
    """
    place = None if checkpoint is None else Checkpoint(checkpoint)
    resume = None if place is None else load(place, config, context)
    told_before = len(resume.values["epochs"]) if resume else 0
    if resume:
        context.log.add(f"resumed after epoch {told_before} of {config['epochs']}")
    due = float("-inf")

    def keep(snapshot: Callable[[], TrainingState]) -> None:
        nonlocal place, due
        start = time.monotonic()
        if place is None or start < due:
            return
        state = snapshot()
        values = {**state.values, CONFIGURATION: config}
        try:
            place.save(replace(state, values=values).to_bytes())
        except OSError as error:
            context.note(f"{place.address}: no checkpoint could be written ({error})")
            place = None
        now = time.monotonic()
        due = now + max(INTERVAL, (now - start) / SHARE)

    return train(
        config,
        data,
        device=context.device,
        measure=measure,
        # The epochs of an earlier start are reported at once: this one continues after them.
        on_epoch=lambda row: context.report(row, flush=row["epoch"] == told_before),
        on_state=None if place is None else keep,
        resume=resume,
    )


def load(place: Checkpoint, config: Row, context: Context) -> TrainingState | None:
    """Read a checkpoint of this configuration; a damaged one is set aside with a note."""
    try:
        content = place.load()
        if content is None:
            return None
        try:
            snapshot = TrainingState.from_bytes(content)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            aside = place.set_aside()
            context.note(
                f"{place.address}: damaged ({error}), set aside as {aside}; "
                "started from the beginning"
            )
            return None
    except OSError as error:
        context.note(f"{place.address}: cannot be read ({error}); started from the beginning")
        return None
    return snapshot if snapshot.values.get(CONFIGURATION) == config else None
