"""The networks that `gpu_models.py` times, and how each pass of them is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from gpu_training import TrainingStep, autocast, captured, products_in
from torch import nn

from gsa_core import build_model, solve_channels

__all__ = ["NETWORKS", "PASSES", "SMALL", "Case", "Run", "ways_of"]

NETWORKS: dict[str, dict[str, Any]] = {
    "staged": {"depth": 2},
    "gsa": {"depth": 2, "tokens": "stem", "patch_size": 4},
    "hybrid": {"depth": 2},
    "gcnn": {"depth": 3},
    "vit": {"depth": 4, "num_heads": 4},
}
SMALL = 45_000  # parameters
Run = tuple[nn.Module, Callable[[], Any]]


@cache
def _channels(model: str, parameters: int, side: int) -> int:
    """The width; networks are built a dozen times for it."""
    return solve_channels(parameters, model=model, image_size=side, **NETWORKS[model])


@dataclass(frozen=True)
class Case:
    """A network on batches of one size, in one precision."""

    model: str
    parameters: int = SMALL
    batch: int = 64
    precision: str = "float32"
    side: int = 28

    def build(self, device: torch.device) -> nn.Module:
        """The network, its width solved for the parameters."""
        arguments = {"model": self.model, "image_size": self.side, **NETWORKS[self.model]}
        channels = _channels(self.model, self.parameters, self.side)
        return build_model(**arguments, channels=channels).to(device)

    def step(self, device: torch.device) -> TrainingStep:
        """A training step on images of noise."""
        torch.manual_seed(0)
        images = torch.randn(self.batch, 1, self.side, self.side, device=device)
        labels = torch.arange(self.batch, device=device) % 10
        model = self.build(device).train()
        return TrainingStep(model, images, labels, self.batch, precision=self.precision)

    def row(self) -> dict[str, Any]:
        """The columns that say what is measured."""
        about = {"model": self.model, "budget": self.parameters, "batch": self.batch}
        return {**about, "dtype": self.precision, "processes": 1}


def ways_of(device: torch.device) -> list[str]:
    """How a device runs a step."""
    return ["eager", "graph"] if device.type == "cuda" else ["eager"]


def training(case: Case, device: torch.device, way: str) -> Run:
    """A network and its training step."""
    step = case.step(device)
    model = step.model
    if way == "compiled":
        step.model = torch.compile(model)
    elif way == "graph":
        step.capture()
        if step.way != "graph":
            raise RuntimeError(step.reason)
    return model, step


def evaluation(case: Case, device: torch.device, way: str) -> Run:
    """A network and its forward pass on images of noise."""
    model = case.build(device).eval()
    called = torch.compile(model) if way == "compiled" else model
    images = torch.randn(case.batch, 1, case.side, case.side, device=device)

    @torch.no_grad()
    def run() -> None:
        with autocast(case.precision, device):
            called(images)

    if way != "graph":
        return model, run
    with products_in(case.precision):
        return model, captured(run).replay


PASSES = {"training": training, "evaluation": evaluation}
