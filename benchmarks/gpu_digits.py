"""Section 5 of `gpu.py`: rotated MNIST, from the IDX files to a test accuracy.

Of the 70,000 digits, in an order of its own, 10,000 are for training, 2,000 for validation and
50,000 for testing, each turned once by a random angle. The test is read once, at the end.
"""

from __future__ import annotations

import argparse
import gzip
import math
import time
import traceback
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_training import TrainingStep, first_line, products_in
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import build_model, count_parameters

__all__ = ["digits"]

TRAIN, VALIDATION, TEST = 10_000, 2_000, 50_000
QUICK = 8, 4, 8
EPOCHS, BATCH, RATE, WARM_UP = 20, 64, 0.008, 0.2


NETWORKS = ("staged", "staged_gcnn")


def network(name: str) -> nn.Module:
    """The network that is trained: group convolutions in stages, C8, with attention or without."""
    return build_model(name, group="C8", **({"depth": 2} if name == "staged" else {}))


def digits(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of every seed and network: a row an epoch and one of the test (``--tf32``: by TF32, too)."""
    if asked.data is None:
        yield {"skipped": "no --data"}
        return
    sizes = QUICK if asked.quick else (TRAIN, VALIDATION, TEST)
    splits = read_splits(asked.data, sizes, asked.device)
    searched = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True  # all batches have one size
    try:
        epochs = 1 if asked.quick else EPOCHS
        precisions = ("float32", "tf32") if asked.tf32 else ("float32",)
        for seed, name, precision in product(asked.seeds, asked.networks, precisions):
            for row in _attempted(splits, epochs, precision, name, seed):
                yield {"network": name, "seed": seed, **row}
    finally:
        torch.backends.cudnn.benchmark = searched


def _attempted(
    splits: list[tuple[Tensor, Tensor]], epochs: int, precision: str, name: str, seed: int
) -> Iterator[dict[str, Any]]:
    """A training, whose error is a row."""
    try:
        yield from _training(splits, epochs, precision, name, seed)
    except Exception as error:
        traceback.print_exc()
        yield {"dtype": precision, "error": first_line(error)}


def _training(
    splits: list[tuple[Tensor, Tensor]], epochs: int, precision: str, name: str, seed: int
) -> Iterator[dict[str, Any]]:
    """One training of one seed: a row an epoch, and at its end the test, read once."""
    train, validation, test = splits
    torch.manual_seed(seed)
    model = network(name).to(train[0].device)
    batch = min(BATCH, len(train[1]))
    rates = one_cycle(RATE, epochs * (len(train[1]) // batch)).to(train[0].device)
    start = time.perf_counter()
    step = TrainingStep(model.train(), *train, batch, precision=precision)
    step.capture()
    row = {"dtype": precision, "parameters": count_parameters(model), "way": step.way}
    row |= {"no_graph": step.reason, "capture_s": time.perf_counter() - start}
    start, trained = time.perf_counter(), 0.0
    for epoch, epoch_rates in enumerate(rates.chunk(epochs), 1):
        begun = time.perf_counter()
        found = {"epoch": epoch, "loss": _epoch(step, epoch_rates)}
        trained += time.perf_counter() - begun
        found["validation"] = _accuracy(model, validation, precision)
        yield {**found, "train_s": trained, "seconds": time.perf_counter() - start, **row}
    last = {"test": _accuracy(model, test, precision), "train_s": trained}
    yield {**last, "seconds": time.perf_counter() - start, **row}


def one_cycle(highest: float, steps: int) -> Tensor:
    """The learning rate of every step; the momentum stays what it is."""
    optimizer = torch.optim.SGD([torch.zeros(1)], highest)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, steps, pct_start=WARM_UP, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates)


def read_splits(
    folder: Path, sizes: tuple[int, ...], device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Images turned by random angles and their labels, for training, validation and testing."""
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    files = [[read_idx(folder, f"{part}-{kind}") for part in ("train", "t10k")] for kind in kinds]
    images, labels = (torch.from_numpy(np.concatenate(parts)) for parts in files)
    if len(images) < sum(sizes):
        raise ValueError(f"{folder}: holds {len(images)} images; {sum(sizes)} are needed")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)
    angles = 2 * math.pi * torch.rand(len(images), generator=generator)
    splits = []
    for index in order[: sum(sizes)].split(sizes):
        pixels = images[index].to(device).float().unsqueeze(1) / 255
        splits.append((turned(pixels, angles[index].to(device)), labels[index].to(device).long()))
    mean, std = splits[0][0].mean(), splits[0][0].std()
    return [((pixels - mean) / std, y) for pixels, y in splits]


def read_idx(folder: Path, name: str) -> np.ndarray:
    """The array of a file of unsigned bytes in MNIST's format, compressed or not."""
    found = [folder / sub / f"{name}{end}" for sub in ("", "mnist") for end in ("", ".gz")]
    file = next((file for file in found if file.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{folder}: {name} or {name}.gz is missing, here and in mnist/")
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * axes + shape.prod():
        raise ValueError(f"{file}: is no IDX file of bytes, or not a whole one")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def turned(images: Tensor, angles: Tensor) -> Tensor:
    """Images turned about their centre, each by its angle in radians; bilinear, zeros outside."""
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], -1).view(-1, 2, 3)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _epoch(step: TrainingStep, rates: Tensor) -> float:
    """Train on every image once; the mean loss."""
    step.model.train()
    order = torch.randperm(len(step.labels), device=step.labels.device)
    step.total.zero_()
    for index, rate in zip(order.split(len(step.index)), rates, strict=False):
        step(index, rate)
    return step.total.item() / len(rates)  # the one time that the device is waited for


@torch.no_grad()
def _accuracy(model: nn.Module, split: tuple[Tensor, Tensor], precision: str) -> float:
    model.eval()
    with products_in(precision):
        parts = zip(split[0].split(1000), split[1].split(1000), strict=True)
        right = torch.stack([(model(x).argmax(-1) == y).sum() for x, y in parts])
    return right.sum().item() / len(split[1])
