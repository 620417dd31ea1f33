"""A training step of a network on images that lie on its device, as eager calls or a CUDA graph.

Launches cost a small network more than its arithmetic: a graph launches a whole step at once.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "PRECISIONS",
    "TrainingStep",
    "autocast",
    "captured",
    "first_line",
    "products_in",
    "wait",
]

PRECISIONS = ("float32", "tf32", "bfloat16")
WARM_UP = 3  # eager calls before a capture


def first_line(error: BaseException) -> str:
    """The error as a cell of a table."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Whether products of float32 may be those of TF32; of `PRECISIONS`, in one they may."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Around a forward pass: bfloat16 where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@cache
def _side_stream() -> torch.cuda.Stream:
    """One for all captures: cuBLAS keeps a workspace for every stream."""
    return torch.cuda.Stream()


def captured(step: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """A CUDA graph of a step, which is run eagerly a few times before."""
    here, stream = torch.cuda.current_stream(), _side_stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    here.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


class TrainingStep:
    """One step of AdamW. What changes from step to step is copied into tensors that stay.

    Parameters
    ----------
    model, images, labels
        On one device; the images are all that there are.
    batch
        Images of a step.
    rate, weight_decay
        Of AdamW; another rate may be given to every step.
    precision
        One of `PRECISIONS`.

    Attributes
    ----------
    total
        Sum of the losses of all steps so far, a tensor.
    way, reason
        ``"eager"`` or ``"graph"``, and why it is no graph if one was asked for.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        batch: int,
        *,
        rate: float = 0.001,
        weight_decay: float = 0.02,
        precision: str = "float32",
    ) -> None:
        device = images.device
        self.model, self.images, self.labels = model, images, labels
        self.precision = precision
        self.index = torch.arange(batch, device=device) % len(labels)
        self.rate = torch.tensor(rate, device=device)
        self.total = torch.zeros((), device=device)
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=self.rate,
            weight_decay=weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.way, self.reason = "eager", ""
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, index: Tensor | None = None, rate: float | Tensor | None = None) -> None:
        """Train on the images of an index, at a rate; by default those of the step before."""
        if index is not None:
            self.index.copy_(index)
        if rate is not None:
            self.rate.copy_(rate) if isinstance(rate, Tensor) else self.rate.fill_(rate)
        if self._graph is None:
            self.run()
        else:
            self._graph.replay()

    def run(self) -> None:
        """The step, eagerly."""
        self.optimizer.zero_grad(set_to_none=True)
        with products_in(self.precision):
            with autocast(self.precision, self.images.device):
                logits = self.model(self.images[self.index])
            if self.precision == "bfloat16":
                logits = logits.float()
            labels = self.labels[self.index]
            loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
            loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def capture(self) -> None:
        """Run as a CUDA graph from now on, if there can be one; the training is where it was."""
        if self.images.device.type != "cuda":
            self.reason = f"no CUDA graph on {self.images.device.type}"
            return
        self.capture_graph()

    def capture_graph(self) -> None:
        """What `capture` does where there can be a graph."""
        held = [self.total, *self.model.parameters(), *self.model.buffers()]
        before = [tensor.detach().clone() for tensor in held]
        moments = copy.deepcopy(self.optimizer.state_dict()["state"])
        try:
            self._graph = captured(self.run)
            self.way = "graph"
        except Exception as error:
            wait(self.images.device)
            self.reason = first_line(error)
        # In place: a graph reads where tensors were. Loading a state would make constants again.
        with torch.no_grad():
            for tensor, value in zip(held, before, strict=True):
                tensor.copy_(value)
        self._restore(moments)

    @torch.no_grad()
    def _restore(self, moments: dict[int, dict[str, Tensor]]) -> None:
        """Into the tensors of the optimizer, which a graph holds; they begin with zeros."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, parameter in enumerate(parameters):
            for name, tensor in self.optimizer.state[parameter].items():
                before = moments.get(number, {}).get(name)
                tensor.zero_() if before is None else tensor.copy_(before)
