"""The benchmark of a GPU, whose modules import one another from their folder."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "gpu", "gpu_correctness", "gpu_digits", "gpu_flex", "gpu_layers", "gpu_models",
    "gpu_networks", "gpu_sharing", "gpu_training", "gpu_triton",
)  # fmt: skip

__all__ = ["NAMES", "ROOT", "benchmark_modules", "idx"]


def benchmark_modules() -> Iterator[argparse.Namespace]:
    """The modules by name, on one thread: their tensors are too small to share."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        yield argparse.Namespace(**{name: importlib.import_module(name) for name in NAMES})


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    head = b"\0\0\x08" + bytes([array.ndim])
    return head + np.array(array.shape, ">i4").tobytes() + array.tobytes()
