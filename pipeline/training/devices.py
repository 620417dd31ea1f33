"""What a device is called, and the most memory that was held on it."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

__all__ = ["device_name", "peak_memory", "reset_peak_memory", "use_threads"]


def device_name(device: str) -> str:
    """Name of a GPU's model, or "cpu"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return "cpu"


def reset_peak_memory(device: str) -> None:
    """Forget the peak so far."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="utf-8"
        )  # Linux: forget this process's peak


def peak_memory(device: str) -> int:
    """Most bytes held: of the device's memory, or, on the CPU, by the process as a whole."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            x for x in status.read_text(encoding="utf-8").splitlines() if x.startswith("VmHWM:")
        )
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def use_threads(count: int) -> None:
    """Keep torch to `count` threads: more of them than cores slows every trial down."""
    torch.set_num_threads(max(1, count))
