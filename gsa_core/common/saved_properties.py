"""What a layer is beyond the shapes of its weights, kept with them and compared at loading.

Weights of C4 have the shapes of weights of D2, and those of two heads the shapes of four. A layer
whose function depends on more than shapes keeps these properties in its state dict, under torch's
key ``_extra_state``, as canonical JSON in a uint8 tensor: every file format for tensors takes it.
It is no buffer, because casts and averages over buffers would change its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Identified", "IdentityError", "check_identities"]

_KEY = "_extra_state"


class IdentityError(ValueError, RuntimeError):
    """Weights of another layer; a `RuntimeError` too, as whatever `load_state_dict` raises."""


class Identified(nn.Module):
    """A layer whose state dict says what layer it is of; loads weights of that layer alone."""

    def identity(self) -> dict[str, Any]:
        """Properties that change the function but not the shapes, as JSON values."""
        raise NotImplementedError

    def get_extra_state(self) -> Tensor:
        """The identity as bytes."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Nothing to set: an identity is compared, never taken over."""

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        check_identities(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def check_identities(module: nn.Module, state: Mapping[str, Any], prefix: str = "") -> None:
    """Compare all identities within a module before any weight is loaded into it.

    A layer of which the state has nothing is passed over: parts of a network may be loaded.

    Raises
    ------
    IdentityError
        The weights are of another layer, or do not say of which.
    """
    places = {
        prefix + (f"{name}." if name else ""): layer
        for name, layer in module.named_modules()
        if isinstance(layer, Identified)
    }
    kept = {_owner(key, places) for key in state}
    for place, layer in places.items():
        if place in kept:
            _compare(place, layer, state.get(place + _KEY))


def _owner(key: str, places: Mapping[str, Any]) -> str | None:
    """The innermost of these places that a key lies in."""
    while key:
        key = key.rpartition(".")[0]
        if (place := f"{key}." if key else "") in places:
            return place
    return None


def _compare(place: str, layer: Identified, kept: Any) -> None:
    kind = type(layer).__name__
    where = f"{place[:-1]} ({kind})" if place else kind
    if kept is None:
        raise IdentityError(
            f"{where}: the weights do not say what layer they are of (they have no {_KEY!r}: an "
            "earlier version saved them, or parameters alone were saved); accepts a state_dict() "
            "of this version"
        )
    if isinstance(kept, Tensor) and kept.is_meta:
        return  # a state without values says nothing, and loads nothing
    theirs, own = _read(kept, where), layer.identity()
    differ = [name for name in sorted({*theirs, *own}) if theirs.get(name) != own.get(name)]
    if differ:
        had = " and ".join(f"{name} {_said(theirs.get(name))}" for name in differ)
        has = " and ".join(_said(own.get(name)) for name in differ)
        raise IdentityError(f"{where}: the weights are of {had}, this layer has {has}")


def _read(kept: Any, where: str) -> dict[str, Any]:
    """An identity from its bytes, whatever type of number a cast or an average made of them."""
    try:
        values = kept.detach().cpu().double().round().to(torch.uint8)
        identity = json.loads(bytes(values.tolist()))
    except (AttributeError, RuntimeError, TypeError, ValueError):
        identity = None
    if not isinstance(identity, dict):
        raise IdentityError(f"{where}: the weights' {_KEY!r} is damaged; accepts a state_dict()")
    return identity


def _said(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return json.dumps(value)
