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
from torch.nn import functional

from gsa_core import build_model, count_flops, count_parameters
from pipeline.dataset import Dataset, Split
from pipeline.study.models import network_arguments
from pipeline.training.augment import turned_at_random
from pipeline.training.devices import device_name, peak_memory, reset_peak_memory
from pipeline.training.inference import INFERENCE_BATCH, score, to_pixels
from pipeline.training.subset import fewer_images
from pipeline.training.training_state import TrainingState, capture, restore, tensors_of

Row = dict[str, Any]


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
    on_epoch: Callable[[Row], None] | None = None,
    on_state: Callable[[Callable[[], TrainingState]], None] | None = None,
    resume: TrainingState | None = None,
) -> Outcome:
    """Train a configuration and keep the epoch that is best on the validation split.

    AdamW under a one-cycle schedule. The same configuration gives the same weights on the same
    machine: all randomness comes from ``config["seed"]``, and the global generator is unchanged.

    Parameters
    ----------
    config
        A flat configuration, as `pipeline.search.space.configuration` makes it.
    data
        Train and validation splits; others are not used.
    device
        The device to train on.
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
    data = fewer_images(data, config["training_images"])
    with torch.random.fork_rng():
        training = _Training(config, data, device)
        if resume is not None:
            training.resume_from(resume)
        for epoch in training.epochs:
            if on_epoch is not None:
                on_epoch(epoch)
        while not training.finished:
            training.run_epoch()
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
        self.model = build_model(**model_arguments(config, data)).to(device)
        self.flops = count_flops(self.model, (data.in_channels, *_sides(config["image_size"])))
        self.order = torch.Generator().manual_seed(config["seed"])
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config["learning_rate"],
            weight_decay=config["weight_decay"],
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config["learning_rate"],
            total_steps=config["epochs"] * -(-len(data.train) // config["batch_size"]),
            pct_start=0.2,
        )
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

    def run_epoch(self) -> None:
        """Train for one epoch, and score it on the validation split."""
        start = time.monotonic()
        loss = _train_epoch(
            self.model,
            self.config,
            self.data.train,
            self.order,
            self.data.background,
            self.optimizer,
            self.schedule,
        )
        batch_size = INFERENCE_BATCH // _micro_batches(self.config)
        validation_loss, accuracy = score(self.model, self.data.validation, batch_size)
        epoch = {
            "epoch": len(self.epochs) + 1,
            "train_loss": loss,
            "validation_loss": validation_loss,
            "validation_accuracy": accuracy,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - start,
        }
        self.epochs.append(epoch)
        if _is_finite(epoch) and (self.best is None or _rank(epoch) > _rank(self.best)):
            self.best, self.weights = epoch, copy.deepcopy(self.model.state_dict())

    def state(self) -> TrainingState:
        """Return the state to resume from."""
        state = capture(self.model, self.optimizer, self.schedule, self.order)
        progress = {"epochs": self.epochs, "best": self.best, "seconds": self.seconds}
        return TrainingState(
            {**state.tensors, **tensors_of("weights", self.weights)}, {**state.values, **progress}
        )

    def resume_from(self, state: TrainingState) -> None:
        """Continue from a state."""
        restore(state, self.model, self.optimizer, self.schedule, self.order)
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
            "validation_accuracy": best["validation_accuracy"] if best else None,
            "validation_loss": best["validation_loss"] if best else None,
            "best_epoch": self.best["epoch"] if self.best else None,
            "epochs": len(self.epochs),
            "params": count_parameters(self.model),
            "flops": self.flops,
            "channels": self.config["channels"],
            "batch_parts": _micro_batches(self.config),
            "seconds": self.seconds,
            "peak_memory_bytes": peak_memory(self.device),
            "device": device_name(self.device),
        }
        return Outcome(self.model.eval(), row, self.epochs)


def _train_epoch(
    model: nn.Module,
    config: Row,
    split: Split,
    order: torch.Generator,
    background: float | str,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Train on all images once, in random order; return the mean loss."""
    model.train()
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    shuffled = torch.randperm(len(split), generator=order).numpy()
    for start in range(0, len(shuffled), config["batch_size"]):
        batch = shuffled[start : start + config["batch_size"]]
        optimizer.zero_grad(set_to_none=True)
        for micro_batch in np.array_split(batch, min(_micro_batches(config), len(batch))):
            images, labels = _batch(split, micro_batch, device)
            images = turned_at_random(images, config["augment"], order, background)
            loss = functional.cross_entropy(
                model(images), labels, label_smoothing=config["label_smoothing"]
            )
            (loss * (len(micro_batch) / len(batch))).backward()
            total += loss.detach() * len(micro_batch)  # without waiting for the device
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return (total / len(split)).item()


def _batch(split: Split, index: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    labels = torch.from_numpy(split.labels[index]).to(device)
    return to_pixels(split.images[index], device), labels


def _rank(epoch: Row) -> tuple[float, float]:
    """Higher is better: accuracy, then loss."""
    return epoch["validation_accuracy"], -epoch["validation_loss"]


def _micro_batches(config: Row) -> int:
    """Number of micro-batches whose gradients are accumulated for a batch, to save memory."""
    return int(config.get("batch_parts", 1))


def _is_finite(epoch: Row) -> bool:
    """Whether both losses of an epoch are finite."""
    return bool(np.isfinite([epoch["train_loss"], epoch["validation_loss"]]).all())


def _sides(image_size: int | list[int]) -> tuple[int, int]:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width
