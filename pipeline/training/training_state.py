"""A training between two epochs, as tensors and JSON values, and as bytes: never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

__all__ = ["Snapshot", "capture", "restore", "tensors_of"]


@dataclass(frozen=True)
class Snapshot:
    """All that a training needs to go on as if it had never stopped.

    Parameters
    ----------
    tensors
        By name, each a copy of its own on the CPU.
    values
        What JSON can hold.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``name/``, without that beginning."""
        start = f"{name}/"
        return {
            key.removeprefix(start): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(start)
        }

    def to_bytes(self) -> bytes:
        """Write a line with the SHA-256 of the rest, then a safetensors file."""
        text = {"values": json.dumps(self.values)}
        body = safetensors.torch.save(self.tensors, metadata=text)
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, content: bytes) -> Snapshot:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            It is not exactly that.
        """
        digest, _, body = content.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("the content does not match its checksum")
        length = int.from_bytes(body[:8], "little")
        metadata = json.loads(body[8 : 8 + length])["__metadata__"]
        return cls(safetensors.torch.load(body), json.loads(metadata["values"]))


def tensors_of(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, their names behind ``name/``."""
    return {f"{name}/{key}": t.detach().cpu().clone().contiguous() for key, t in state.items()}


def capture(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    order: torch.Generator,
) -> Snapshot:
    """Take the state of model, optimiser, schedule and all generators of random numbers."""
    state = optimizer.state_dict()
    moments = {
        f"{index}/{key}": tensor
        for index, tensors in state["state"].items()
        for key, tensor in tensors.items()
    }
    chance = {"cpu": torch.get_rng_state(), "order": order.get_state()}
    device = next(model.parameters()).device
    if device.type == "cuda":
        chance["cuda"] = torch.cuda.get_rng_state(device)
    return Snapshot(
        {
            **tensors_of("model", model.state_dict()),
            **tensors_of("optimizer", moments),
            **tensors_of("chance", chance),
        },
        {"optimizer": state["param_groups"], "schedule": schedule.state_dict()},
    )


def restore(
    snapshot: Snapshot,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    order: torch.Generator,
) -> None:
    """Put what `capture` took back where it came from."""
    model.load_state_dict(snapshot.part("model"))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in snapshot.part("optimizer").items():
        index, _, key = name.partition("/")
        moments.setdefault(int(index), {})[key] = tensor
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in snapshot.values["optimizer"]
    ]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    schedule.load_state_dict(snapshot.values["schedule"])
    chance = snapshot.part("chance")
    torch.set_rng_state(chance["cpu"])
    order.set_state(chance["order"])
    device = next(model.parameters()).device
    if device.type == "cuda" and "cuda" in chance:
        torch.cuda.set_rng_state(chance["cuda"], device)
