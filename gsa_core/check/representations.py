"""How a tensor may transform under a point group, judged by its shape alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gsa_core.groups import PointGroup, act_on_features, act_on_image

__all__ = [
    "IN_BATCH",
    "Representation",
    "permutation_of_channels",
    "relative_error",
    "representations",
    "visible_error",
]

IN_BATCH = "frames within the batch"  # how names of these representations begin
PREFIXES = 9  # class and register tokens before those of the grid
CHANNELS = 512  # of which a permutation is looked for
VISIBLE = 0.01  # of how much the vectors of different images differ


@dataclass(frozen=True)
class Representation:
    """A way in which a tensor transforms: its name, and its action for an element."""

    name: str
    act: Callable[[int, Tensor], Tensor]


def representations(
    tensor: Tensor,
    group: PointGroup,
    image: Tensor,
    maps: set[tuple[int, ...]],
    tokens: set[int],
) -> Iterator[Representation]:
    """All that fit a shape, those that say most first.

    Parameters
    ----------
    tensor
        A feature of an image.
    group
        The point group H.
    image
        The network's input, whose sides have the ratio of a grid of tokens.
    maps
        Shapes ``(channels, height, width)`` of the feature maps so far.
    tokens
        Sizes of the last two axes of tensors of three axes: scores are of pairs of so many tokens.
    """
    order, shape = group.order, tuple(tensor.shape)
    if tensor.ndim == 4 and order > 1 and shape[1] % order == 0:
        yield Representation("regular, |H| innermost", _in_channels(group, inner=True))
        yield Representation("regular, |H| outermost", _in_channels(group, inner=False))
    if tensor.ndim == 4 and order > 1 and shape[0] == order * image.shape[0]:
        yield Representation(f"{IN_BATCH}, |H| innermost", _in_batch(group, inner=True))
        yield Representation(f"{IN_BATCH}, |H| outermost", _in_batch(group, inner=False))
    if tensor.ndim >= 4:
        yield from _maps(group, shape)
    for axes, name in (((-2, -1), "scores of pairs of tokens"), ((1,), "tokens"), ((2,), "tokens")):
        fits = tensor.ndim == 3 if len(axes) == 1 else tensor.ndim == 4 and shape[-1] in tokens
        prefix = _prefix({shape[axis] for axis in axes}, image) if fits else None
        if prefix is not None:
            yield Representation(name, _on_tokens(group, axes, prefix, image))
    if tensor.ndim in (2, 3):
        if tensor.ndim == 2:
            for size in sorted(maps):
                if shape[1] == size[0] * size[1] * size[2]:
                    yield Representation("flattened image", _flattened(group, size))
        yield Representation("invariant", lambda s, x: x)
        if order > 1 and shape[-1] % order == 0:
            yield Representation("regular vector, |H| innermost", _of_vector(group, inner=True))
        if order > 1 and tensor.ndim == 2 and shape[1] % order == 0:
            yield Representation("regular vector, |H| outermost", _of_vector(group, inner=False))


def _maps(group: PointGroup, shape: tuple[int, ...]) -> Iterator[Representation]:
    """Feature maps and images with positions along any two axes that are neighbours."""
    usual = len(shape) - 2
    for row in sorted(range(1, usual + 1), key=lambda axis: axis != usual):
        others = [axis for axis in range(1, len(shape)) if axis not in (row, row + 1)]
        note = "" if row == usual else f", positions along axes {row} and {row + 1}"
        for frame in others:
            if shape[frame] == group.order > 1:
                axes = [axis for axis in others if axis != frame]
                order = (0, *axes, frame, row, row + 1)
                yield Representation("regular" + note, _moved(group, order, regular=True))
        yield Representation("image" + note, _moved(group, (0, *others, row, row + 1)))


def _moved(
    group: PointGroup, axes: tuple[int, ...], regular: bool = False
) -> Callable[[int, Tensor], Tensor]:
    """The action on a tensor whose axes come in another order."""
    act = act_on_features if regular else act_on_image
    back = torch.tensor(axes).argsort().tolist()
    return lambda s, x: act(group, s, x.permute(axes)).permute(back)


def _in_channels(group: PointGroup, *, inner: bool) -> Callable[[int, Tensor], Tensor]:
    sizes = (-1, group.order) if inner else (group.order, -1)

    def act(s: int, x: Tensor) -> Tensor:
        split = x.unflatten(1, sizes)
        split = split if inner else split.transpose(1, 2)
        moved = act_on_features(group, s, split)
        return (moved if inner else moved.transpose(1, 2)).flatten(1, 2)

    return act


def _in_batch(group: PointGroup, *, inner: bool) -> Callable[[int, Tensor], Tensor]:
    sizes, axis = ((-1, group.order), 1) if inner else ((group.order, -1), 0)

    def act(s: int, x: Tensor) -> Tensor:
        split = x.unflatten(0, sizes).movedim(axis, 2)  # (batch, channels, |H|, height, width)
        return act_on_features(group, s, split).movedim(2, axis).flatten(0, 1)

    return act


def _of_vector(group: PointGroup, *, inner: bool) -> Callable[[int, Tensor], Tensor]:
    sizes = (-1, group.order) if inner else (group.order, -1)
    axis = -1 if inner else -2
    return lambda s, x: x.unflatten(-1, sizes).index_select(axis, group.relative[s]).flatten(-2)


def _flattened(group: PointGroup, size: tuple[int, ...]) -> Callable[[int, Tensor], Tensor]:
    return lambda s, x: act_on_image(group, s, x.unflatten(1, size)).flatten(1)


def _grid(tokens: int, image: Tensor) -> tuple[int, int] | None:
    """Rows and columns of so many tokens in the ratio of the image's sides."""
    height, width = image.shape[-2:]
    rows = round((tokens * height / width) ** 0.5)
    if rows and rows * (tokens // rows) == tokens and rows * width == tokens // rows * height:
        return rows, tokens // rows
    return None


def _prefix(sizes: set[int], image: Tensor) -> int | None:
    """How many tokens come before those of a grid."""
    size = sizes.pop() if len(sizes) == 1 else 0
    return next((n for n in range(PREFIXES) if size - n > 1 and _grid(size - n, image)), None)


def _on_tokens(
    group: PointGroup, axes: tuple[int, ...], prefix: int, image: Tensor
) -> Callable[[int, Tensor], Tensor]:
    def act(s: int, x: Tensor) -> Tensor:
        grid = _grid(x.shape[axes[0]] - prefix, image)
        assert grid is not None
        tokens = torch.arange(grid[0] * grid[1], dtype=torch.float64).reshape(grid)
        moved = act_on_image(group, s, tokens).flatten().long()
        index = torch.cat([torch.arange(prefix), prefix + moved])
        for axis in axes:
            x = x.index_select(axis, index.to(x.device))
        return x

    return act


def relative_error(found: Tensor, expected: Tensor) -> float:
    """``|found - expected| / |expected|``; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    distance, size = (found - expected).norm(), expected.norm()
    return (distance / size).item() if size > 0 else distance.item()


def visible_error(found: Tensor, expected: Tensor, rounding: float) -> float:
    """`relative_error`, unless an offset that all vectors ``(images, channels)`` share hides it.

    An error above `rounding` is then relative to how much the vectors of different images differ,
    if it is at least `VISIBLE` of that.
    """
    error = relative_error(found, expected)
    if found.ndim != 2 or not rounding < error < float("inf"):
        return error
    spread = (expected - expected.mean(0)).norm()
    if not spread > rounding * expected.norm():  # one image, or always the same one
        return error
    visible = ((found - expected).norm() / spread).item()
    return max(error, visible) if visible >= VISIBLE else error


def permutation_of_channels(
    moved: Tensor, features: Tensor, group: PointGroup, element: int, tolerance: float
) -> list[int] | None:
    """The permutation of channels with which a map turns, if there is one.

    Channel i of the map of a turned image is channel ``permutation[i]`` of the map, turned.
    """
    if features.ndim != 4 or features.shape[1] > CHANNELS:
        return None
    turned = act_on_image(group, element, features)
    if turned.shape != moved.shape:
        return None
    rows, wanted = (x.transpose(0, 1).flatten(1) for x in (moved, turned))
    distances = torch.cdist(rows, wanted, compute_mode="donot_use_mm_for_euclid_dist")
    least, index = distances.min(1)
    if not (least <= tolerance * wanted.norm(dim=1).max().clamp(min=1e-300)).all():
        return None
    found = index.tolist()
    return found if len(set(found)) == len(found) else None
