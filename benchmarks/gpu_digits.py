"""Section 5 of `gpu.py`: rotated MNIST, from the IDX files to a test accuracy.

Of the 70,000 digits, in an order of its own, 10,000 are for training, 2,000 for validation and
50,000 for testing, each turned once by a random angle. The test is read once, at the end.
"""

from __future__ import annotations

import argparse
import gzip
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import build_model, count_parameters

__all__ = ["digits"]

TRAIN, VALIDATION, TEST = 10_000, 2_000, 50_000
EPOCHS, BATCH, RATE = 20, 64, 0.008


def network() -> nn.Module:
    """The network that is trained: attention on a group convolutional trunk, C8."""
    return build_model("hybrid", group="C8", depth=2, channels=24, num_heads=4, dropout=0.1)


def digits(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row an epoch, and one of the test."""
    if asked.data is None:
        yield {"skipped": "no --data"}
        return
    torch.manual_seed(0)
    sizes = (8, 4, 8) if asked.quick else (TRAIN, VALIDATION, TEST)
    epochs = 1 if asked.quick else EPOCHS
    train, validation, test = _splits(asked.data, sizes, asked.device)
    model = network().to(asked.device)
    batch = min(BATCH, len(train[1]))
    steps = epochs * (len(train[1]) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.2)
    start, common = time.perf_counter(), {"dtype": "float32", "parameters": count_parameters(model)}
    for epoch in range(1, epochs + 1):
        loss = _epoch(model, train, batch, optimizer, schedule)
        row = {"epoch": epoch, "loss": loss, "validation": _accuracy(model, validation)}
        yield {**row, "seconds": time.perf_counter() - start, **common}
    yield {"test": _accuracy(model, test), "seconds": time.perf_counter() - start, **common}


def _splits(
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


def _epoch(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    batch: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Train on every image once; the mean loss."""
    model.train()
    images, labels = train
    order, losses = torch.randperm(len(labels), device=labels.device), []
    for index in order[: len(order) // batch * batch].split(batch):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(images[index]), labels[index], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()  # the one time that the device is waited for


@torch.no_grad()
def _accuracy(model: nn.Module, split: tuple[Tensor, Tensor]) -> float:
    model.eval()
    parts = zip(split[0].split(1000), split[1].split(1000), strict=True)
    right = torch.stack([(model(x).argmax(-1) == y).sum() for x, y in parts])
    return right.sum().item() / len(split[1])
