"""Train classifiers for the same time: the recipe behind the accuracies of docs/models.md.

2,000 randomly turned digits, AdamW, warm-up and a cosine over the time that there is. Time is that
of the processor, of training steps alone, on one thread, so that other work on the machine and the
looks at the validation images take nothing from a contestant.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import rotate_image
from pipeline.prepare.fetch.raw_files import missing_files
from pipeline.prepare.sources import digits, mnist

__all__ = ["Pictures", "race", "score", "turned_digits"]

TRAIN, VALIDATION, TEST = 2000, 1000, 4000
BATCH, WARM_UP, WEIGHT_DECAY = 32, 0.05, 0.01
LOOKS = 4  # at the validation images, evenly over the time
Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Pictures:
    """Images ``(count, 1, side, side)`` from 0 to 1 and labels of three disjoint splits."""

    source: str
    train: Split
    validation: Split
    test: Split

    @property
    def side(self) -> int:
        """Pixels along height and width."""
        return self.train[0].shape[-1]


def turned_digits(seed: int = 0) -> Pictures:
    """MNIST where its files are at hand, else scikit-learn's digits; each turned by its own angle.

    Which images, and their angles, depend on `seed` alone: all contestants see the same.
    """
    order = np.random.default_rng(seed)
    if missing_files("mnist", mnist.FILES):
        part = digits.read()["all"]
        chosen = order.permutation(len(part.images))
        cuts = np.split(chosen, [len(chosen) // 2, 5 * len(chosen) // 8])
        splits = [(part.images[cut], part.labels[cut]) for cut in cuts]
    else:
        parts = mnist.read()
        chosen = order.permutation(len(parts["train"].images))[: TRAIN + VALIDATION]
        splits = [
            (parts["train"].images[cut], parts["train"].labels[cut])
            for cut in (chosen[:TRAIN], chosen[TRAIN:])
        ]
        splits.append((parts["test"].images[:TEST], parts["test"].labels[:TEST]))
    source = "digits" if len(splits[2][0]) < TEST else "mnist"
    angles = torch.Generator().manual_seed(seed)
    return Pictures(source, *(_turned(*split, angles) for split in splits))


def _turned(images: np.ndarray, labels: np.ndarray, angles: torch.Generator) -> Split:
    pixels = torch.tensor(images, dtype=torch.float32) / (255 if images.dtype == np.uint8 else 1)
    degrees = 360 * torch.rand(len(pixels), generator=angles, dtype=torch.float64)
    return rotate_image(pixels, degrees), torch.tensor(labels)


def race(
    model: nn.Module, pictures: Pictures, *, learning_rate: float, seconds: float, seed: int
) -> dict[str, float]:
    """Train for `seconds` of one core; leave the weights of the best of `LOOKS` looks."""
    best, found, weights, looks, steps = (-1.0, 0.0), 0.0, model.state_dict(), 0, 0
    for spent in _training(model, pictures.train, learning_rate, seconds, seed):
        steps += 1
        if spent < seconds * (looks + 1) / LOOKS:
            continue
        looks = int(spent / seconds * LOOKS)
        reached = score(model, pictures.validation)
        if reached > best:
            best, found, weights = reached, spent, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    epochs = steps * BATCH / len(pictures.train[0])
    return {"epochs": epochs, "best_at_seconds": found, "validation": best[0]}


def _training(
    model: nn.Module, split: Split, learning_rate: float, seconds: float, seed: int
) -> Iterator[float]:
    """Train; yield the seconds spent after each step."""
    images, labels = split
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    spent, shuffled = 0.0, torch.empty(0, dtype=torch.long)
    model.train()
    while spent < seconds:
        start = time.process_time()
        if len(shuffled) < BATCH:
            shuffled = torch.randperm(len(images), generator=generator)
        index, shuffled = shuffled[:BATCH], shuffled[BATCH:]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(spent / seconds)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(images[index]), labels[index]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        spent += time.process_time() - start
        yield spent


def _schedule(fraction: float) -> float:
    """Linear warm-up, then a cosine to zero, over the fraction of the time that is spent."""
    if fraction < WARM_UP:
        return (fraction + 0.001) / (WARM_UP + 0.001)
    return 0.5 * (1 + math.cos(math.pi * (fraction - WARM_UP) / (1 - WARM_UP)))


@torch.no_grad()
def score(model: nn.Module, split: Split) -> tuple[float, float]:
    """Accuracy, then minus the loss, to break ties; the model continues training."""
    model.eval()
    logits = torch.cat([model(images) for images in split[0].split(100)])
    model.train()
    accuracy = (logits.argmax(1) == split[1]).double().mean().item()
    return accuracy, -functional.cross_entropy(logits, split[1]).item()
