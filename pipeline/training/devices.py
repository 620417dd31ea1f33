"""Name, memory, threads and clock of a device, and tensors on their way to it and back."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch
from torch import Tensor

Device = torch.device | str


def device_name(device: str) -> str:
    """Return the model of a GPU, or "cpu"."""
    if is_gpu(device):
        return torch.cuda.get_device_name(device)
    return "cpu"


def is_gpu(device: Device) -> bool:
    """Whether a device is a GPU, which works while the host continues."""
    return torch.device(device).type == "cuda"


def to_device(tensor: Tensor, device: Device) -> Tensor:
    """Send a tensor to a device; to a GPU without waiting, from memory that it reads itself."""
    if is_gpu(device) and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(*tensors: Tensor) -> list[Tensor]:
    """Return tensors of one type on the CPU: one copy, for which a GPU is waited for once."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    packed = torch.cat([tensor.flatten() for tensor in tensors]).cpu()
    parts = packed.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def mark(device: Device) -> float | torch.cuda.Event:
    """Return this point in the work of a device, for `seconds_between`."""
    if not is_gpu(device):
        return time.monotonic()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
    """Return the seconds between two marks; what was given to a GPU until then must be done."""
    if isinstance(start, float) or isinstance(end, float):
        return float(end) - float(start)  # type: ignore[arg-type]
    return start.elapsed_time(end) / 1000


def free_bytes(device: Device) -> int:
    """Return the free memory of a GPU; 0 on a CPU, which has images in its memory already."""
    return torch.cuda.mem_get_info(device)[0] if is_gpu(device) else 0


def reset_peak_memory(device: str) -> None:
    """Reset the peak of memory."""
    if is_gpu(device):
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        # Linux: 5 resets the peak of this process.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory(device: str) -> int:
    """Return the peak of memory in bytes, of the device, or, on the CPU, of the process."""
    if is_gpu(device):
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
