"""What a check is given: a module, and an image on which a broken module shows."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from gsa_core.equivariance import check_changes
from gsa_core.groups import PointGroup

__all__ = ["check_image", "check_module"]


def check_module(module: object) -> None:
    """A module, whose layers can be measured one by one."""
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module: got a {type(module).__name__}; accepts a torch.nn.Module "
            "(assert_equivariant takes any function)"
        )


def check_image(image: Tensor, group: PointGroup, elements: Iterable[int]) -> None:
    """Images with finite values that each of the elements changes.

    >>> import torch
    >>> from gsa_core.groups import cyclic_group
    >>> check_image(torch.zeros(2, 3, 8, 8), cyclic_group(4), [1])
    Traceback (most recent call last):
    ValueError: image: got one that r90 of C4 does not change, ... torch.rand(2, 3, 8, 8)
    """
    if image.ndim != 4:
        other = "; assert_equivariant takes feature maps" if image.ndim == 5 else ""
        raise ValueError(
            f"image: got {image.ndim} axes; accepts (batch, channels, height, width){other}"
        )
    check_changes("image", image, group, elements)
