"""The arguments ``device`` and ``dtype`` of constructors, with the meaning they have in torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from gsa_core.common.names import accepted_names, check_names

__all__ = ["Device", "made_with", "placed"]

Device = torch.device | str | int | None
P = ParamSpec("P")
S = TypeVar("S")


def placed(initialise: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """An ``__init__`` whose parameters and buffers are made on its `device`, in its `dtype`.

    It names a keyword that it does not have.
    """
    accepted = accepted_names(initialise)

    @functools.wraps(initialise)
    def wrapper(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
        check_names(type(self).__name__, kwargs, accepted)
        with made_with(kwargs.get("device"), kwargs.get("dtype")):
            initialise(self, *args, **kwargs)

    return wrapper


@contextmanager
def made_with(device: Any = None, dtype: Any = None) -> Iterator[None]:
    """What is built within is made on this device, in this type; ``None`` leaves the default."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype: got {dtype!r}; accepts a floating-point type of torch, or None")
    before = torch.get_default_dtype()
    with nullcontext() if device is None else torch.device(device):
        torch.set_default_dtype(dtype or before)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
