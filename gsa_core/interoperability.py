"""Feature maps in the layout of escnn, and back."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gsa_core.common.arguments import check_shape
from gsa_core.groups import PointGroup, check_group

__all__ = ["from_escnn_order", "to_escnn_order"]


def to_escnn_order(
    features: Float[Tensor, "batch channels group height width"],
) -> Float[Tensor, "batch fields height width"]:
    """The tensor of ``FieldType(space, channels * [space.regular_repr])``.

    Frames lie within the channels, those of one field together. Elements have the same order:
    rotations, then rotations after the mirror of the columns.

    Examples
    --------
    >>> import torch
    >>> to_escnn_order(torch.zeros(2, 3, 8, 5, 5)).shape
    torch.Size([2, 24, 5, 5])
    """
    check_shape("features", features, "batch", "channels", "|H|", "height", "width")
    return features.flatten(1, 2)


def from_escnn_order(
    tensor: Float[Tensor, "batch fields height width"], group: PointGroup
) -> Float[Tensor, "batch channels group height width"]:
    """The feature map of a tensor of regular fields, see `to_escnn_order`.

    Examples
    --------
    >>> import torch
    >>> from gsa_core import dihedral_group
    >>> from_escnn_order(torch.zeros(2, 24, 5, 5), dihedral_group(4)).shape
    torch.Size([2, 3, 8, 5, 5])
    """
    check_group(group)
    check_shape("tensor", tensor, "batch", "fields", "height", "width")
    if tensor.shape[1] % group.order:
        raise ValueError(
            f"tensor: got {tensor.shape[1]} channels; accepts a multiple of {group.order}, the "
            f"order of {group.name}: regular fields alone"
        )
    return tensor.unflatten(1, (-1, group.order))
