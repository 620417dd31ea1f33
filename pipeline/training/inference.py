"""Logits of a network in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.dataset import Split

INFERENCE_BATCH = 256  # images


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Return images as float32 from 0 to 1, whatever type they are stored in."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    pixels = tensor.to(device, torch.float32)
    return pixels / 255 if tensor.dtype == torch.uint8 else pixels


@torch.no_grad()
def logits_of(
    model: nn.Module, images: np.ndarray | Tensor, batch_size: int = INFERENCE_BATCH
) -> Tensor:
    """Return the logits ``(count, classes)`` of images on the CPU, computed in batches."""
    model.eval()
    device = next(model.parameters()).device
    logits = [
        model(to_pixels(images[start : start + batch_size], device)).cpu()
        for start in range(0, len(images), batch_size)
    ]
    return torch.cat(logits)


def outputs(model: nn.Module, split: Split, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return the logits and the labels of a split, on the CPU."""
    return logits_of(model, split.images, batch_size), torch.from_numpy(np.array(split.labels))
