"""What a measurement was made with: the columns that every row of `gpu.py` has."""

from __future__ import annotations

import platform
import subprocess

import torch

__all__ = ["commit", "device_name", "origin"]


def commit() -> str:
    """The commit that is checked out, marked where files differ from it; else ``unknown``."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def device_name(device: torch.device) -> str:
    """The card, or the processor's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def origin(device: torch.device) -> dict[str, str]:
    """Device, versions and commit."""
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
    }
