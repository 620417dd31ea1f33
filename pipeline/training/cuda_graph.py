"""Gradients by a CUDA graph: all launches of a forward and backward pass as one.

A small network waits for its launches. The graph reads and writes the same memory at every step, so
that images, labels and gradients stay where they are. Augmentation, clipping and the optimiser are
not part of it: they draw from the host's generators and follow a schedule.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.training.devices import is_gpu

__all__ = ["CapturedGradients", "capture"]

WARM_UP = 3  # eager passes before a capture, in which libraries allocate what they keep
Pass = Callable[[], None]


class Eager(Protocol):
    """What is captured: `pipeline.training.gradients.Gradients`."""

    way: str

    def __call__(self, images: Tensor, labels: Tensor, share: float | Tensor) -> Tensor:
        """Add the gradients of a mean loss, and return it."""


def capture(run: Pass) -> Pass:
    """Return a function that replays a pass, which is run a few times before, as a CUDA graph."""
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            run()
    here.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class CapturedGradients:
    """Gradients of batches of one shape by a graph, of all others eagerly.

    Parameters
    ----------
    eager
        Computes the same without a graph.
    model
        The network.
    capture
        Makes a graph of a pass.

    Attributes
    ----------
    way
        ``cuda_graph``; after a capture that failed that of `eager`, with a warning that says why.
    """

    keeps_gradients = True

    def __init__(
        self, eager: Eager, model: nn.Module, capture: Callable[[Pass], Pass] = capture
    ) -> None:
        self.eager, self.model, self.capture = eager, model, capture
        self.way = "cuda_graph"
        self._replay: Pass | None = None

    def __call__(self, images: Tensor, labels: Tensor, share: float | Tensor) -> Tensor:
        """Return the mean loss of images, as `pipeline.training.gradients.Gradients` does."""
        if self._replay is None and self.way == "cuda_graph":
            self._prepare(images, labels)
        if self._replay is None or images.shape != self._images.shape:
            return self.eager(images, labels, share)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._share.fill_(share)
        self._replay()
        return self._loss.clone()

    def _prepare(self, images: Tensor, labels: Tensor) -> None:
        """Capture a pass over batches of this shape; the training is then where it was."""
        self._images, self._labels = images.clone(), labels.clone()
        self._share = torch.ones((), device=images.device)
        self._loss = torch.zeros((), device=images.device)
        try:
            with restored_after(self.model):
                self._replay = self.capture(self._pass)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            warnings.warn(f"no CUDA graph ({reason}); steps are run eagerly", stacklevel=2)
            self.way = self.eager.way

    def _pass(self) -> None:
        self._loss.copy_(self.eager(self._images, self._labels, self._share))


@contextmanager
def restored_after(model: nn.Module) -> Iterator[None]:
    """Give back random generators and buffers, such as statistics of batch norm; zero gradients.

    In place: a graph reads and writes where the tensors were. Before the first batch there are no
    gradients; parameters that get none have none afterwards.
    """
    before = [buffer.detach().clone() for buffer in model.buffers()]
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if is_gpu(device) else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(model.buffers(), before, strict=True):
                    buffer.copy_(value)
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.zero_()
