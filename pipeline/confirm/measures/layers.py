"""Equivariance errors of the layers of a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gsa_core import layer_errors, point_group

__all__ = ["layer_rows"]

Row = dict[str, Any]


def layer_rows(model: nn.Module, images: Tensor, group: str) -> list[Row]:
    """Equivariance errors of every layer alone, under the elements of the network's group.

    The layers of a network without symmetry are measured under quarter turns of space.
    """
    symmetry = point_group(group)
    if symmetry.order == 1:
        symmetry = point_group("C4")
    elements = [element for element in symmetry.exact_elements if element]
    device = next(model.parameters()).device
    layers: dict[str, nn.Module] = model.layers()  # type: ignore[operator]
    errors = layer_errors(layers, images.to(device), symmetry, elements)
    return [
        {
            "layer": name,
            "layer_index": list(layers).index(name),
            "element": symmetry.element_name(element),
            "error": error,
        }
        for (name, element), error in errors.items()
    ]
