"""Keeps constant tensors from one forward pass to the next: masks, offsets, one-hot terms.

They belong to no module, so that they are in no checkpoint and no copy of one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from gsa_core.common.derivatives import is_transformed

__all__ = ["constant"]

_ENTRIES = 16  # of one function

Made = TypeVar("Made")


def constant(function: Callable[..., Made]) -> Callable[..., Made]:
    """Keep what a function of hashable arguments has made, the last 16 of them.

    The function returned also takes ``like``, a tensor that the result is used with. Nothing is
    kept while operators are recorded, within transforms, and for tensors that hold no numbers.
    """

    @lru_cache(maxsize=_ENTRIES)
    def kept(*arguments: Any) -> Made:
        # No tensors of the inference mode: a later backward pass may have to save them.
        with torch.inference_mode(False), torch.no_grad():
            return function(*arguments)

    @wraps(function)
    def found(*arguments: Any, like: Tensor) -> Made:
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if recorded or is_transformed() or type(like) not in (Tensor, torch.nn.Parameter):
            return function(*arguments)
        return kept(*arguments)

    found.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
    return found
