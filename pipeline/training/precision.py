"""The precision of training steps. Everything that is measured is computed in whole float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["autocast", "precision_of", "products_in", "whole_float32"]


def precision_of(config: Mapping[str, Any]) -> str:
    """Return ``fp32``, ``tf32`` or ``bf16``; a configuration that does not say is of float32."""
    return str(config.get("precision", "fp32"))


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let a GPU multiply float32 in TF32 where that is the precision, and nowhere else.

    Torch convolves in TF32 by default, which keeps ten bits.
    """
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def whole_float32() -> Any:
    """Multiply in whole float32: the rounding of TF32 looks like a layer that is not equivariant.

    A context, or a decorator of what measures.
    """
    return products_in("fp32")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Compute a forward pass in bfloat16 where that is the precision.

    Torch chooses the operations: products are in bfloat16, softmax and norms in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
