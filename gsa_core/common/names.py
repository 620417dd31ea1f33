"""Names of arguments: one that a function does not have is named, with the one that was meant."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

__all__ = ["accepted_names", "check_names", "named"]

P = ParamSpec("P")
R = TypeVar("R")

# The names of timm and torch whose spelling does not lead to those of this library.
_ELSEWHERE = {
    "attn_drop": "attention_dropout",
    "attn_drop_rate": "attention_dropout",
    "drop_rate": "head_dropout",
    "embed_dim": "channels",
    "mlp_ratio": "feedforward_ratio",
    "pos_embed": "positional",
    "proj_drop_rate": "dropout",
    "window_size": "window",
}


def named(function: Callable[P, R]) -> Callable[P, R]:
    """A function that refuses keywords it does not have by `check_names`."""
    accepted = accepted_names(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        check_names(function.__name__, kwargs, accepted)
        return function(*args, **kwargs)

    return wrapper


def accepted_names(function: Callable[..., Any]) -> list[str]:
    """The arguments of a function but ``self``."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def check_names(function: str, given: Collection[str], accepted: Collection[str]) -> None:
    """No keyword that a function does not have.

    >>> check_names("build_model", ["img_size"], ["image_size", "depth"])
    Traceback (most recent call last):
    TypeError: img_size: got an argument that build_model does not have; accepts image_size
    """
    for name in given:
        if name not in accepted:
            meant = [_ELSEWHERE[name]] if _ELSEWHERE.get(name) in accepted else None
            close = meant or difflib.get_close_matches(name, accepted, n=1) or accepted
            raise TypeError(
                f"{name}: got an argument that {function} does not have; accepts {', '.join(close)}"
            )
