"""Every call of a sub-module in a run of a network, and the tensors that it takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Call", "input_of", "one_tensor", "run"]


@dataclass(eq=False)
class Call:
    """One call of a sub-module: its name, the call it is within, and its first tensors."""

    name: str
    module: nn.Module
    parent: Call | None
    taken: Tensor | None = None
    given: Tensor | None = None

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__})"


def run(module: nn.Module, image: Tensor) -> list[Call]:
    """Every call in the order in which they end, the whole module last."""
    calls: list[Call] = []
    with _recorded(module, calls):
        module(image)
    return calls


@contextmanager
def _recorded(module: nn.Module, calls: list[Call]) -> Iterator[None]:
    times: dict[str, int] = {}
    running: list[Call] = []

    def begin(name: str, layer: nn.Module) -> None:
        times[name] = times.get(name, 0) + 1
        label = name if times[name] == 1 else f"{name}#{times[name]}"
        running.append(Call(label or "(output)", layer, running[-1] if running else None))

    def end(taken: object, given: object) -> None:
        call = running.pop()
        tensors = [one_tensor(taken), one_tensor(given)]
        call.taken, call.given = (None if x is None else x.detach().clone() for x in tensors)
        calls.append(call)

    handles = []
    for name, layer in module.named_modules():
        handles += [
            layer.register_forward_pre_hook(lambda layer, _, name=name: begin(name, layer)),
            layer.register_forward_hook(lambda _, taken, given: end(taken, given)),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def input_of(layer: nn.Module, within: nn.Module, features: Tensor) -> Tensor | None:
    """What a layer takes first when the module that contains it is run on these features."""
    taken: list[Tensor | None] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: taken.append(one_tensor(inputs)))
    try:
        within(features)
    finally:
        handle.remove()
    return taken[0] if taken else None


def one_tensor(value: object) -> Tensor | None:
    """The first floating-point tensor of what a layer takes or gives."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    inner = getattr(value, "tensor", None)  # of a geometric tensor
    if isinstance(inner, Tensor):
        return inner
    items = value.values() if hasattr(value, "values") else value
    if isinstance(items, torch.Size | str | bytes) or not hasattr(items, "__iter__"):
        return None
    return next((x for item in items if (x := one_tensor(item)) is not None), None)
