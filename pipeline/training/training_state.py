"""The state of a training between two epochs, as tensors and JSON values; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainingState:
    """What a training needs to resume with the same result.

    Parameters
    ----------
    tensors
        By name; copies on the CPU.
    values
        JSON values.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def group(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``name/``, without this prefix."""
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
    def from_bytes(cls, content: bytes) -> TrainingState:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            For a wrong checksum or format.
        """
        digest, _, body = content.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("the content does not match its checksum")
        length = int.from_bytes(body[:8], "little")
        metadata = json.loads(body[8 : 8 + length])["__metadata__"]
        return cls(safetensors.torch.load(body), json.loads(metadata["values"]))


def tensors_of(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, with ``name/`` before their names."""
    return {f"{name}/{key}": t.detach().cpu().clone().contiguous() for key, t in state.items()}


def capture(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    order: torch.Generator,
) -> TrainingState:
    """Return the state of model, optimiser, schedule and all random generators."""
    state = optimizer.state_dict()
    moments = {
        f"{index}/{key}": tensor
        for index, tensors in state["state"].items()
        for key, tensor in tensors.items()
    }
    generators = {"cpu": torch.get_rng_state(), "order": order.get_state()}
    device = next(model.parameters()).device
    if device.type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state(device)
    return TrainingState(
        {
            **tensors_of("model", model.state_dict()),
            **tensors_of("optimizer", moments),
            **tensors_of("generators", generators),
        },
        {"optimizer": state["param_groups"], "schedule": schedule.state_dict()},
    )


def restore(
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    order: torch.Generator,
) -> None:
    """Load a state that `capture` returned."""
    model.load_state_dict(state.group("model"))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.group("optimizer").items():
        index, _, key = name.partition("/")
        moments.setdefault(int(index), {})[key] = tensor
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in state.values["optimizer"]
    ]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    schedule.load_state_dict(state.values["schedule"])
    generators = state.group("generators")
    torch.set_rng_state(generators["cpu"])
    order.set_state(generators["order"])
    device = next(model.parameters()).device
    if device.type == "cuda" and "cuda" in generators:
        torch.cuda.set_rng_state(generators["cuda"], device)
