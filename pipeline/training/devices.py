"""Name, peak memory and threads of a device."""

from __future__ import annotations

import resource
from pathlib import Path

import torch


def device_name(device: str) -> str:
    """Return the model of a GPU, or "cpu"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return "cpu"


def reset_peak_memory(device: str) -> None:
    """Reset the peak of memory."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        # Linux: 5 resets the peak of this process.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory(device: str) -> int:
    """Return the peak of memory in bytes, of the device, or, on the CPU, of the process."""
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
    """Limit torch to `count` threads: more threads than cores slow every trial down."""
    torch.set_num_threads(max(1, count))
