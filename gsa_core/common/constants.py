"""Tables that follow from a layer's arguments, wherever its weights go.

They are no buffers: averages over buffers would round the indices among them, `to_empty` would
leave them empty, and a cast to float64 would keep the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WithConstants", "constants_of"]


class WithConstants(nn.Module):
    """A layer with constant tensors, on the device and in the type of its first parameter.

    A subclass gives them by `constants` and calls `make_constants` when it has its parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(_follow_weights)

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Indices, and tables of floating-point numbers in `dtype` or better, on the CPU."""
        raise NotImplementedError

    def make_constants(self, like: Tensor | None = None) -> None:
        """Set them as attributes, for the first parameter, or for a tensor they are to meet."""
        if like is None:
            floating = (p for p in self.parameters() if p.is_floating_point())
            if (like := next(floating, None)) is None:
                return
        # Not tensors of the inference mode, nor of the default device, that happens to be on now.
        with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
            made = self.constants(torch.promote_types(like.dtype, torch.float32))
        self._constants = tuple(made)
        for name, table in made.items():
            dtype = like.dtype if table.is_floating_point() else table.dtype
            setattr(self, name, table.to(like.device, dtype))

    def constant(self, name: str, like: Tensor) -> Tensor:
        """A constant to meet a tensor; made again where weights came to another device."""
        table: Tensor = getattr(self, name)
        other_type = table.is_floating_point() and table.dtype != like.dtype
        if table.device != like.device or other_type:
            self.make_constants(like)
            table = getattr(self, name)
        return table

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> WithConstants:
        super()._apply(fn, recurse)
        self.make_constants()
        return self


def _follow_weights(layer: Any, _: Any) -> None:
    """After a load: weights that were assigned may have come with another device or type."""
    layer.make_constants()


def constants_of(module: nn.Module) -> Iterator[Tensor]:
    """The constants of a module and of all within it."""
    for layer in module.modules():
        names: Any = getattr(layer, "_constants", ())
        yield from (getattr(layer, name) for name in names)
