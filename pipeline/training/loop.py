"""Train one configuration and keep its best epoch; reads no files and knows nothing of Ray."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gsa_core import build_model, count_flops, count_parameters
from pipeline.dataset import Dataset
from pipeline.study.models import network_arguments
from pipeline.study.objectives import OBJECTIVES
from pipeline.training.augment import TurnedImages
from pipeline.training.devices import (
    device_name,
    mark,
    peak_memory,
    reset_peak_memory,
    seconds_between,
    to_host,
)
from pipeline.training.epoch import Steps, micro_batches
from pipeline.training.image_feed import fewer_images, on_device
from pipeline.training.inference import INFERENCE_BATCH, logits_on_device
from pipeline.training.penalty import passes
from pipeline.training.precision import precision_of
from pipeline.training.scores import classification_scores, share_right
from pipeline.training.training_state import TrainingState, capture, restore, tensors_of

Row = dict[str, Any]

# A step costs the forward pass, and about twice that for the gradients of inputs and weights.
TRAINING_PASSES = 3
# What the row of a training has of its best epoch.
VALIDATED = (
    "validation_accuracy",
    "validation_loss",
    "validation_balanced_accuracy",
    "validation_macro_f1",
    "validation_auroc",
    "validation_accuracy_turned",
)


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Parameters
    ----------
    model
        The network with the weights of its best epoch, in evaluation mode.
    row
        Status, reason, scores and cost, by column.
    epochs
        One row an epoch.
    """

    model: nn.Module
    row: Row
    epochs: list[Row]


def model_arguments(config: Row, data: Dataset) -> Row:
    """Return the arguments of `gsa_core.build_model` for a configuration and a data set."""
    return {
        **network_arguments(config),
        "mean": [float(x) for x in np.ravel(data.mean)],
        "std": [float(x) for x in np.ravel(data.std)],
    }


def train(
    config: Row,
    data: Dataset,
    *,
    device: str = "cpu",
    measure: Callable[[nn.Module, Row], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    on_state: Callable[[Callable[[], TrainingState]], None] | None = None,
    resume: TrainingState | None = None,
) -> Outcome:
    """Train a configuration and keep the epoch that is best on the validation split.

    AdamW under a schedule of the learning rate. The same configuration gives the same weights on
    the same machine: all randomness comes from ``config["seed"]``, and the global generator is
    unchanged.

    Parameters
    ----------
    config
        A flat configuration, as `pipeline.search.space.configuration` makes it.
    data
        Train and validation splits; others are not used.
    device
        The device to train on.
    measure
        Called with the network and the row after each epoch, to add columns to the row.
    on_epoch
        Called with each epoch's row as soon as it is known, and again for those before `resume`.
    on_state
        Called after each epoch with a function that returns the state to resume from.
    resume
        The state of a training of the same configuration. Rows and weights are then those of an
        uninterrupted training, on the CPU to the last bit.

    Returns
    -------
    Outcome
        Status ``completed``; ``diverged`` after an epoch with an infinite loss or NaN; ``stopped``
        after an epoch with less accuracy than ``stop_below`` requires.
    """
    with torch.random.fork_rng():
        training = _Training(config, data, device)
        if resume is not None:
            training.resume_from(resume)
        for epoch in training.epochs:
            if on_epoch is not None:
                on_epoch(epoch)
        while not training.finished:
            training.run_epoch()
            if measure is not None and not training.diverged:
                measure(training.steps.evaluated, training.epochs[-1])
            if on_state is not None and not training.diverged:
                on_state(training.state)
            if on_epoch is not None:
                on_epoch(training.epochs[-1])
    return training.outcome()


class _Training:
    """A training in progress: network, optimiser, schedule and the epochs so far."""

    def __init__(self, config: Row, data: Dataset, device: str) -> None:
        self.config, self.data, self.device = config, data, device
        self.start, self.seconds_before = time.monotonic(), 0.0
        reset_peak_memory(device)
        torch.manual_seed(config["seed"])
        few = fewer_images(data, config.get("training_images"))
        self.model = build_model(**model_arguments(config, few)).to(device)
        self.flops = count_flops(self.model, (data.in_channels, *_sides(config["image_size"])))
        self.steps = Steps.of(self.model, config, few, len(data.train))
        there = on_device(data.validation.images, device)
        self.validation = data.validation.images if there is None else there
        turns = config.get("objective_turns")
        self.turned = turns and TurnedImages(self.validation, turns, data.background, device)
        self.labels = torch.from_numpy(np.array(data.validation.labels))
        self.epochs: list[Row] = []
        self.best: Row | None = None
        self.weights: dict[str, Tensor] = {}

    @property
    def diverged(self) -> bool:
        """Whether a loss of the last epoch is not finite."""
        return bool(self.epochs) and not _is_finite(self.epochs[-1])

    @property
    def cutoff(self) -> float | None:
        """The required accuracy that the last epoch missed, or None."""
        last = self.epochs[-1] if self.epochs else {"epoch": 0}
        for epoch, accuracy in self.config.get("stop_below", []):
            if last["epoch"] == epoch and last["validation_accuracy"] < accuracy:
                return float(accuracy)
        return None

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        done = len(self.epochs) == self.config["epochs"]
        return done or self.diverged or self.cutoff is not None

    @property
    def seconds(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.start

    @property
    def trained_seconds(self) -> float:
        """Seconds of the optimiser steps, without validation."""
        return float(self.epochs[-1]["training_seconds"]) if self.epochs else 0.0

    @property
    def images_per_second(self) -> float | None:
        """Images of training over the seconds of its steps."""
        images = self.steps.images * len(self.epochs)
        return images / self.trained_seconds if self.trained_seconds else None

    def _rank(self, epoch: Row) -> tuple[float, float]:
        """Higher is better: the first objective of the study, then the loss."""
        column, more_is_better = OBJECTIVES[self.config.get("objective", "accuracy")]
        value = float(np.nan_to_num(epoch[column], nan=-np.inf if more_is_better else np.inf))
        return value if more_is_better else -value, -epoch["validation_loss"]

    def run_epoch(self) -> None:
        """Train for one epoch, and score it on the validation split."""
        start, before = time.monotonic(), mark(self.device)
        mean_loss = self.steps.run_epoch()
        after, number = mark(self.device), len(self.epochs) + 1
        self.steps.measure_statistics()
        batch_size = INFERENCE_BATCH // micro_batches(self.config)
        every = (self.validation, *([self.turned] if self.turned else []))
        found = [logits_on_device(self.steps.evaluated, images, batch_size) for images in every]
        # The only time in an epoch that a GPU is waited for.
        loss, logits, *turned = to_host(mean_loss, *found)
        scores = classification_scores(logits, self.labels)
        for of_turned in turned:
            scores["accuracy_turned"] = share_right(of_turned, self.labels)
        epoch = {
            "epoch": number,
            "train_loss": loss.item(),
            "validation_loss": scores.pop("negative_log_likelihood"),
            **{f"validation_{name}": value for name, value in scores.items()},
            "learning_rate": self.steps.optimizer.param_groups[0]["lr"],
            "training_flops": TRAINING_PASSES
            * passes(self.config)
            * self.flops
            * self.steps.images
            * number,
            "training_seconds": self.trained_seconds + seconds_between(before, after),
            "seconds": time.monotonic() - start,
        }
        self.epochs.append(epoch)
        if _is_finite(epoch) and (self.best is None or self._rank(epoch) > self._rank(self.best)):
            self.best, self.weights = epoch, copy.deepcopy(self.steps.evaluated.state_dict())

    def state(self) -> TrainingState:
        """Return the state to resume from."""
        state = capture(self.steps)
        progress = {"epochs": self.epochs, "best": self.best, "seconds": self.seconds}
        return TrainingState(
            {**state.tensors, **tensors_of("weights", self.weights)}, {**state.values, **progress}
        )

    def resume_from(self, state: TrainingState) -> None:
        """Continue from a state."""
        restore(state, self.steps)
        self.epochs, self.best = list(state.values["epochs"]), state.values["best"]
        self.weights = state.group("weights")
        self.seconds_before = state.values["seconds"]

    def status(self) -> tuple[str, str | None]:
        """Return the status of the finished training, and the reason if it ended early."""
        last = self.epochs[-1]
        if self.diverged:
            return "diverged", f"loss is not finite in epoch {last['epoch']}"
        if (cutoff := self.cutoff) is not None:
            return "stopped", (
                f"validation accuracy {last['validation_accuracy']:.4g} after epoch "
                f"{last['epoch']} is below {cutoff:.4g}, which the best of the cell's earlier "
                "trials had reached by then"
            )
        return "completed", None

    def outcome(self) -> Outcome:
        """Return the best epoch's weights and the row of the training."""
        if self.weights:
            self.model.load_state_dict(self.weights)
        status, reason = self.status()
        best = None if self.diverged else self.best
        row = {
            "status": status,
            "reason": reason,
            **{name: best.get(name) if best else None for name in VALIDATED},
            "best_epoch": self.best["epoch"] if self.best else None,
            "epochs": len(self.epochs),
            "params": count_parameters(self.model),
            "flops": self.flops,
            "training_flops": self.epochs[-1]["training_flops"],
            "training_seconds": self.trained_seconds,
            "training_images_per_second": self.images_per_second,
            "precision": precision_of(self.config),
            "execution": self.steps.gradients.way,
            "channels": self.config["channels"],
            "batch_parts": micro_batches(self.config),
            "seconds": self.seconds,
            "peak_memory_bytes": peak_memory(self.device),
            "device": device_name(self.device),
        }
        return Outcome(self.model.eval(), row, self.epochs)


def _is_finite(epoch: Row) -> bool:
    """Whether both losses of an epoch are finite."""
    return bool(np.isfinite([epoch["train_loss"], epoch["validation_loss"]]).all())


def _sides(image_size: int | list[int]) -> tuple[int, int]:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width
