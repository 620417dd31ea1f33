"""A CUDA graph without a GPU: the operations of a pass, repeated on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["recorded"]


class Recorder(TorchDispatchMode):
    """Records operations. A replay runs no Python: numbers that it passed are constants."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        """Write into the memory that the recorded pass wrote into."""
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def recorded(run: Callable[[], None]) -> Callable[[], None]:
    """Stand in for `pipeline.training.cuda_graph.capture`."""
    run()
    recorder = Recorder()
    with recorder:
        run()
    return recorder.replay
