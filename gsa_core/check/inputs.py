"""What a check is given: a module, and an image on which a broken module shows."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from gsa_core.check.calls import Call
from gsa_core.check.report import ROUNDING
from gsa_core.check.representations import relative_error
from gsa_core.common.arguments import check_tensor
from gsa_core.equivariance import check_changes
from gsa_core.groups import PointGroup

__all__ = ["check_image", "check_module", "check_same_twice"]


def check_module(module: object) -> None:
    """A module, whose layers can be measured one by one."""
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module: got a {type(module).__name__}; accepts a torch.nn.Module "
            "(assert_equivariant takes any function)"
        )


def check_image(image: Tensor, group: PointGroup, elements: Iterable[int]) -> None:
    """Images or feature maps with finite values that each of the elements changes.

    >>> import torch
    >>> from gsa_core.groups import cyclic_group
    >>> check_image(torch.zeros(2, 3, 8, 8), cyclic_group(4), [1])
    Traceback (most recent call last):
    ValueError: image: got one that r90 of C4 does not change, ... torch.rand(2, 3, 8, 8)
    """
    check_tensor("image", image)
    features = f"(batch, channels, {group.order}, height, width), the frames of {group.name}"
    if image.ndim not in (4, 5) or (image.ndim == 5 and image.shape[2] != group.order):
        raise ValueError(
            f"image: got {tuple(image.shape)}; accepts images (batch, channels, height, width), "
            f"or feature maps {features}"
        )
    check_changes("image", image, group, elements)


def check_same_twice(calls: list[Call], again: list[Call]) -> None:
    """A module that gives the same for the same image."""
    if len(calls) == len(again) and not _differ(calls[-1], again[-1]):
        return
    first = next((x for x, y in zip(calls, again, strict=False) if _differ(x, y)), calls[-1])
    raise ValueError(
        f"module: got one whose output for the same image is random in evaluation mode, first in "
        f"{first}: dropout that eval() does not end, or random numbers in its forward; accepts "
        "one that gives the same twice"
    )


def _differ(call: Call, again: Call) -> bool:
    if call.given is None or again.given is None:
        return False
    return bool(relative_error(again.given, call.given) > ROUNDING)
