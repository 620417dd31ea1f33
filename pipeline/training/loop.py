"""Train one configuration: data and numbers in, weights and numbers out. Knows no files, no Ray."""

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
from pipeline.training.training_state import Snapshot, capture, restore, tensors_of

__all__ = ["Outcome", "Snapshot", "logits_of", "model_arguments", "train"]

Row = dict[str, Any]
# Images of which logits are taken at once, without gradients.
SCORED = 256


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Parameters
    ----------
    model
        The network with the weights of its best epoch, in evaluation mode.
    row
        One value a column: status, reason, scores, cost.
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
    on_state: Callable[[Callable[[], Snapshot]], None] | None = None,
    resume: Snapshot | None = None,
) -> Outcome:
    """Train a configuration and keep the epoch that is best on the validation split.

    AdamW under a one-cycle schedule. The same configuration gives the same weights on the same
    machine: all chance comes from ``config["seed"]``, and the global generator is left as it was.

    Parameters
    ----------
    config
        A flat configuration, as `pipeline.search.space.configuration` makes it.
    data
        Train and validation splits; others are not looked at.
    device
        Where to train.
    on_epoch
        Called with each epoch's row as soon as it is known, and again for those before `resume`.
    on_state
        Called after each epoch with what returns all that it takes to go on from there.
    resume
        Such a state of a training of the same configuration. Rows and weights are
        then those of a training without a break, on the CPU to the last bit.

    Returns
    -------
    Outcome
        Status ``completed``; ``diverged`` as soon as an epoch ends in a loss that is no number;
        ``stopped`` after an epoch whose accuracy is below what ``stop_below`` asks of it.
    """
    with torch.random.fork_rng():
        training = _Training(config, data, device)
        if resume is not None:
            training.go_on_from(resume)
        for epoch in training.epochs:
            if on_epoch is not None:
                on_epoch(epoch)
        while not training.over:
            training.do_epoch()
            if on_state is not None and not training.diverged:
                on_state(training.snapshot)
            if on_epoch is not None:
                on_epoch(training.epochs[-1])
    return training.outcome()


class _Training:
    """A training under way: what changes from epoch to epoch."""

    def __init__(self, config: Row, data: Dataset, device: str) -> None:
        self.config, self.data, self.device = config, data, device
        self.begun, self.seconds_before = time.monotonic(), 0.0
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
        """Whether the last epoch ended in a loss that is no number."""
        return bool(self.epochs) and not _is_finite(self.epochs[-1])

    @property
    def cutoff(self) -> float | None:
        """What the last epoch's accuracy is below, if the trial is to stop for it."""
        last = self.epochs[-1] if self.epochs else {"epoch": 0}
        for epoch, accuracy in self.config.get("stop_below", []):
            if last["epoch"] == epoch and last["validation_accuracy"] < accuracy:
                return float(accuracy)
        return None

    @property
    def over(self) -> bool:
        """Whether no epoch is left to do."""
        done = len(self.epochs) == self.config["epochs"]
        return done or self.diverged or self.cutoff is not None

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a break included."""
        return self.seconds_before + time.monotonic() - self.begun

    def do_epoch(self) -> None:
        """Train for one epoch, and score it on the validation split."""
        start = time.monotonic()
        loss = _train_epoch(
            self.model,
            self.config,
            self.data.train,
            self.order,
            self.data.ground,
            self.optimizer,
            self.schedule,
        )
        batch_size = SCORED // _parts(self.config)
        validation_loss, accuracy = _score(self.model, self.data.validation, batch_size)
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

    def snapshot(self) -> Snapshot:
        """Take all that it takes to go on from here."""
        state = capture(self.model, self.optimizer, self.schedule, self.order)
        own = {"epochs": self.epochs, "best": self.best, "seconds": self.seconds}
        return Snapshot(
            {**state.tensors, **tensors_of("weights", self.weights)}, {**state.values, **own}
        )

    def go_on_from(self, snapshot: Snapshot) -> None:
        """Stand where the snapshot was taken."""
        restore(snapshot, self.model, self.optimizer, self.schedule, self.order)
        self.epochs, self.best = list(snapshot.values["epochs"]), snapshot.values["best"]
        self.weights = snapshot.part("weights")
        self.seconds_before = snapshot.values["seconds"]

    def ending(self) -> tuple[str, str | None]:
        """Say how the training ended, and why if before its time."""
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
        status, reason = self.ending()
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
            "batch_parts": _parts(self.config),
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
    ground: float | str,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """One pass over the training images in random order; return the mean loss."""
    model.train()
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    shuffled = torch.randperm(len(split), generator=order).numpy()
    for start in range(0, len(shuffled), config["batch_size"]):
        batch = shuffled[start : start + config["batch_size"]]
        optimizer.zero_grad(set_to_none=True)
        for part in np.array_split(batch, min(_parts(config), len(batch))):
            images, labels = _batch(split, part, device)
            images = turned_at_random(images, config["augment"], order, ground)
            loss = functional.cross_entropy(
                model(images), labels, label_smoothing=config["label_smoothing"]
            )
            (loss * (len(part) / len(batch))).backward()
            total += loss.detach() * len(part)  # no waiting for the device before the epoch's end
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return (total / len(split)).item()


def _score(model: nn.Module, split: Split, batch_size: int) -> tuple[float, float]:
    """Cross entropy and accuracy."""
    logits = logits_of(model, split.images, batch_size)
    labels = torch.from_numpy(np.array(split.labels))
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return functional.cross_entropy(logits, labels).item(), accuracy


@torch.no_grad()
def logits_of(model: nn.Module, images: np.ndarray | Tensor, batch_size: int = SCORED) -> Tensor:
    """Logits of images, in evaluation mode, in batches, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    logits = [
        model(to_pixels(images[start : start + batch_size], device)).cpu()
        for start in range(0, len(images), batch_size)
    ]
    return torch.cat(logits)


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Images as float32 from 0 to 1, from whatever type they are stored in."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    pixels = tensor.to(device, torch.float32)
    return pixels / 255 if tensor.dtype == torch.uint8 else pixels


def _batch(split: Split, index: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    labels = torch.from_numpy(split.labels[index]).to(device)
    return to_pixels(split.images[index], device), labels


def _rank(epoch: Row) -> tuple[float, float]:
    """Higher is better: accuracy, then loss."""
    return epoch["validation_accuracy"], -epoch["validation_loss"]


def _parts(config: Row) -> int:
    """In how many parts a batch is computed, one after the other, to take less memory."""
    return int(config.get("batch_parts", 1))


def _is_finite(epoch: Row) -> bool:
    """Whether both losses of an epoch are numbers."""
    return bool(np.isfinite([epoch["train_loss"], epoch["validation_loss"]]).all())


def _sides(image_size: int | list[int]) -> tuple[int, int]:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width
