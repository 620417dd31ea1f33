"""The state of a training between two epochs, as tensors and JSON values; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.training.epoch import Steps


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


def capture(steps: Steps) -> TrainingState:
    """Return the state of network, average, optimiser, schedule and all random generators."""
    state = steps.optimizer.state_dict()
    moments = {
        f"{index}/{key}": tensor
        for index, tensors in state["state"].items()
        for key, tensor in tensors.items()
    }
    generators = {"cpu": torch.get_rng_state(), "order": steps.order.get_state()}
    device = next(steps.model.parameters()).device
    if device.type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state(device)
    average = steps.average
    return TrainingState(
        {
            **tensors_of("model", steps.model.state_dict()),
            **tensors_of("average", average.model.state_dict() if average else {}),
            **tensors_of("optimizer", moments),
            **tensors_of("generators", generators),
        },
        {
            "optimizer": state["param_groups"],
            "schedule": steps.schedule.state_dict(),
            "averaged": average.steps if average else 0,
        },
    )


def restore(state: TrainingState, steps: Steps) -> None:
    """Load a state that `capture` returned."""
    steps.model.load_state_dict(state.group("model"))
    if steps.average is not None:
        steps.average.model.load_state_dict(state.group("average"))
        steps.average.steps = state.values["averaged"]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.group("optimizer").items():
        index, _, key = name.partition("/")
        moments.setdefault(int(index), {})[key] = tensor
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in state.values["optimizer"]
    ]
    steps.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    steps.schedule.load_state_dict(state.values["schedule"])
    generators = state.group("generators")
    torch.set_rng_state(generators["cpu"])
    steps.order.set_state(generators["order"])
    device = next(steps.model.parameters()).device
    if device.type == "cuda" and "cuda" in generators:
        torch.cuda.set_rng_state(generators["cuda"], device)
