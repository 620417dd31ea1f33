"""Train one configuration: data and numbers in, weights and numbers out. Knows no files, no Ray."""

from __future__ import annotations

import copy
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import build_model, count_flops, count_parameters
from pipeline.datasets import Dataset, Split

__all__ = ["Outcome", "logits_of", "model_arguments", "train"]

Row = dict[str, Any]


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
    same = (
        "model group positional depth tokens form window window_shape encoding patch_size channels "
        "feedforward_ratio dropout attention_dropout in_channels num_classes image_size"
    )
    arguments = {name: config[name] for name in same.split()}
    arguments["num_heads"] = config["heads"]
    return {
        **{name: value for name, value in arguments.items() if value is not None},
        "mean": [float(x) for x in np.ravel(data.mean)],
        "std": [float(x) for x in np.ravel(data.std)],
    }


def train(
    config: Row,
    data: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[Row], None] | None = None,
) -> Outcome:
    """Train a configuration and keep the epoch that is best on the validation split.

    AdamW under a one-cycle schedule. The same configuration gives the same weights on the same
    machine: all chance comes from ``config["seed"]``, and the global generator is left as it was.

    Parameters
    ----------
    config
        A flat configuration, as `pipeline.search_space.configuration` makes it.
    data
        Train and validation splits; others are not looked at.
    device
        Where to train.
    on_epoch
        Called with each epoch's row as soon as it is known.

    Returns
    -------
    Outcome
        Status ``completed``, or ``diverged`` as soon as an epoch ends in a loss that is no number.
    """
    start = time.monotonic()
    _reset_peak_memory(device)
    with torch.random.fork_rng():
        torch.manual_seed(config["seed"])
        model = build_model(**model_arguments(config, data)).to(device)
        flops = count_flops(model, (data.in_channels, *_sides(config["image_size"])))
        order = torch.Generator().manual_seed(config["seed"])
        epochs, best, weights = [], None, None
        for epoch in _epochs(model, config, data, order):
            epochs.append(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
            if not np.isfinite([epoch["train_loss"], epoch["validation_loss"]]).all():
                break
            if best is None or _rank(epoch) > _rank(best):
                best, weights = epoch, copy.deepcopy(model.state_dict())
    diverged = len(epochs) < config["epochs"] or not np.isfinite(epochs[-1]["validation_loss"])
    if weights is not None:
        model.load_state_dict(weights)
    row = {
        "status": "diverged" if diverged else "completed",
        "reason": f"loss is not finite in epoch {epochs[-1]['epoch']}" if diverged else None,
        "validation_accuracy": best["validation_accuracy"] if best and not diverged else None,
        "validation_loss": best["validation_loss"] if best and not diverged else None,
        "best_epoch": best["epoch"] if best else None,
        "epochs": len(epochs),
        "params": count_parameters(model),
        "flops": flops,
        "channels": config["channels"],
        "seconds": time.monotonic() - start,
        "peak_memory_bytes": _peak_memory(device),
        "device": _device_name(device),
    }
    return Outcome(model.eval(), row, epochs)


def _epochs(model: nn.Module, config: Row, data: Dataset, order: torch.Generator) -> Iterator[Row]:
    """Train epoch by epoch, and score each on the validation split."""
    batches = -(-len(data.train) // config["batch_size"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["learning_rate"], total_steps=config["epochs"] * batches, pct_start=0.2
    )
    for epoch in range(1, config["epochs"] + 1):
        start = time.monotonic()
        loss = _train_epoch(model, config, data.train, order, optimizer, schedule)
        validation_loss, accuracy = _score(model, data.validation)
        yield {
            "epoch": epoch,
            "train_loss": loss,
            "validation_loss": validation_loss,
            "validation_accuracy": accuracy,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - start,
        }


def _train_epoch(
    model: nn.Module,
    config: Row,
    split: Split,
    order: torch.Generator,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """One pass over the training images in random order; return the mean loss."""
    model.train()
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    shuffled = torch.randperm(len(split), generator=order).numpy()
    for start in range(0, len(shuffled), config["batch_size"]):
        images, labels = _batch(split, shuffled[start : start + config["batch_size"]], device)
        loss = functional.cross_entropy(
            model(images), labels, label_smoothing=config["label_smoothing"]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(labels)  # no waiting for the device before the epoch's end
    return (total / len(split)).item()


def _score(model: nn.Module, split: Split) -> tuple[float, float]:
    """Cross entropy and accuracy."""
    logits = logits_of(model, split.images)
    labels = torch.from_numpy(np.array(split.labels))
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return functional.cross_entropy(logits, labels).item(), accuracy


@torch.no_grad()
def logits_of(model: nn.Module, images: np.ndarray | Tensor, batch_size: int = 256) -> Tensor:
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


def _sides(image_size: int | list[int]) -> tuple[int, int]:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def _reset_peak_memory(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget this process's peak


def _peak_memory(device: str) -> int:
    """Most bytes held: of the device's memory, or, on the CPU, by the process as a whole."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return "cpu"
