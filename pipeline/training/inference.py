"""Logits of a network in evaluation mode."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.training.devices import to_device, to_host
from pipeline.training.precision import whole_float32

INFERENCE_BATCH = 256  # images


class Images(Protocol):
    """An array or tensor of images, or what gives slices of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, some: slice, /) -> Any: ...


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Return images as float32 from 0 to 1, whatever type they are stored in."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    pixels = to_device(tensor, device).to(torch.float32)
    return pixels / 255 if tensor.dtype == torch.uint8 else pixels


@whole_float32()
@torch.no_grad()
def logits_on_device(model: nn.Module, images: Images, batch_size: int = INFERENCE_BATCH) -> Tensor:
    """Return the logits ``(count, classes)`` of images, computed in batches of whole float32."""
    model.eval()
    device = next(model.parameters()).device
    logits = [
        model(to_pixels(images[start : start + batch_size], device))
        for start in range(0, len(images), batch_size)
    ]
    return torch.cat(logits)


def logits_of(model: nn.Module, images: Images, batch_size: int = INFERENCE_BATCH) -> Tensor:
    """Return the logits ``(count, classes)`` of images on the CPU; a GPU is waited for once."""
    [logits] = to_host(logits_on_device(model, images, batch_size))
    return logits
