"""Layouts of features: which of batch, channels, frames, rows and columns each axis has."""

from __future__ import annotations

import math

from torch import Tensor

from gsa_core.groups import PointGroup, act_on_image

__all__ = ["OTHER_LAYOUTS", "Layout", "fits", "grid", "layout_text", "move"]

# The letters of every axis, outermost first: b batch, g frames, h rows, w columns, c channels or
# anything else that no element moves, p tokens of positions. ("b", "hw", "cg") has tokens of all
# frames. `move` and `fits` know no p.
Layout = tuple[str, ...]

OTHER_LAYOUTS: tuple[Layout, ...] = tuple(
    tuple(text.split())
    for text in (
        "bhw cg", "bhw gc", "bghw c", "bhwg c",
        "b hw cg", "b hw gc", "b ghw c", "b hwg c", "bg hw c", "gb hw c", "bhw g c",
        "b cg hw", "b gc hw", "b c ghw", "hw b cg", "hw b gc",
        "b h w cg", "b h w gc", "bg h w c", "gb h w c",
        "b g hw c", "b hw g c", "b c g hw", "b c ghw c", "b c hwg c",
        "g b c h w",
    )
)  # fmt: skip


def layout_text(layout: Layout) -> str:
    """For a reader.

    >>> layout_text(("b", "hw", "cg"))
    'b (h w) (c |H|)'
    """
    axes = (" ".join("|H|" if x == "g" else x for x in axis) for axis in layout)
    return " ".join(f"({axis})" if " " in axis else axis for axis in axes)


def grid(tokens: int, image: Tensor) -> tuple[int, int] | None:
    """Rows and columns of so many tokens in the ratio of the image's sides."""
    height, width = image.shape[-2:]
    rows = round((tokens * height / width) ** 0.5)
    if rows and rows * (tokens // rows) == tokens and rows * width == tokens // rows * height:
        return rows, tokens // rows
    return None


def _sizes(axis: str, size: int, group: PointGroup, image: Tensor) -> list[int] | None:
    """Sizes of the letters of one axis."""
    known = {"b": image.shape[0], "g": group.order}
    rest, left = divmod(size, math.prod(known.get(letter, 1) for letter in axis))
    if left or rest < 1:
        return None
    if "h" in axis and len(axis) > 1:
        sides = grid(rest, image)
        if sides is None:
            return None
        known["h"], known["w"] = sides
    elif "c" in axis or axis in ("h", "w"):
        known[axis if axis in ("h", "w") else "c"] = rest
    elif rest > 1:
        return None
    return [known[letter] for letter in axis]


def fits(layout: Layout, tensor: Tensor, group: PointGroup, image: Tensor) -> bool:
    """Whether a tensor may have this layout, for a network's input of that batch and ratio."""
    return len(layout) == tensor.ndim and all(
        _sizes(axis, size, group, image) for axis, size in zip(layout, tensor.shape, strict=True)
    )


def move(
    group: PointGroup,
    layout: Layout,
    image: Tensor,
    element: int,
    tensor: Tensor,
    *,
    frames: Tensor | None,
    space: bool = True,
) -> Tensor:
    """The tensor with its positions moved by an element and its frames in the order `frames`."""
    for axis in reversed(range(tensor.ndim)):
        if len(layout[axis]) > 1:
            sizes = _sizes(layout[axis], tensor.shape[axis], group, image)
            assert sizes is not None
            tensor = tensor.unflatten(axis, sizes)
    letters = "".join(layout)
    acted = [letters.index(letter) for letter in "ghw" if letter in letters]
    order = [i for i in range(len(letters)) if i not in acted] + acted
    tensor = tensor.permute(order)
    if frames is not None and "g" in letters:
        axis = -3 if "h" in letters else -1
        tensor = tensor.index_select(axis, frames.to(tensor.device))
    if space and "h" in letters:
        tensor = act_on_image(group, element, tensor)
    tensor = tensor.permute([order.index(i) for i in range(len(order))])
    for axis, letters in enumerate(layout):
        tensor = tensor.flatten(axis, axis + len(letters) - 1)
    return tensor
