"""How a tensor may transform under a point group, judged by its shape alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gsa_core.check.layouts import OTHER_LAYOUTS, Layout, fits, grid, layout_text, move
from gsa_core.check.report import LAYOUT_NOT_KNOWN, ROUNDING
from gsa_core.groups import PointGroup, act_on_image

__all__ = [
    "ANOTHER_ORDER",
    "UNKNOWN",
    "Reader",
    "Reading",
    "Representation",
    "permuted",
    "relative_error",
]

PREFIXES = 9  # class and register tokens before those of the grid
CHANNELS = 512  # of which a permutation is looked for
VISIBLE = 0.01  # of how much the vectors of different images differ


@dataclass(frozen=True)
class Representation:
    """A way in which a tensor transforms: its name, its action for an element, its layout."""

    name: str
    act: Callable[[int, Tensor], Tensor] = lambda s, x: x
    layout: Layout = ()

    @property
    def regular(self) -> bool:
        """Whether the tensor has frames, which an element permutes."""
        return any("g" in axis for axis in self.layout)


@dataclass(frozen=True)
class Reading:
    """The representation of the least error; `of_differences` as in `visible_error`."""

    representation: Representation
    error: float
    of_differences: bool = False


CONSTANT = Representation("constant")
UNKNOWN = Representation(LAYOUT_NOT_KNOWN)
ANOTHER_ORDER = Representation("regular, another order")


@dataclass
class Reader:
    """Finds how the tensors of a network transform.

    Parameters
    ----------
    group
        The point group H.
    image
        The network's input, whose sides have the ratio of a grid of tokens.
    rounding, tolerance
        Errors up to `rounding` are those of exact layers, up to `tolerance` acceptable.
    maps
        Shapes ``(channels, height, width)`` of the feature maps so far.
    tokens
        Sizes of the last two axes of tensors of three axes: scores are of pairs of so many tokens.
    """

    group: PointGroup
    image: Tensor
    rounding: float
    tolerance: float
    maps: set[tuple[int, ...]] = field(default_factory=set)
    tokens: set[int] = field(default_factory=set)

    def read(self, tensor: Tensor, moved: dict[int, Tensor]) -> Reading:
        """How a tensor transforms, from the same of the image moved by each element."""
        if all(torch.equal(x, tensor) for x in moved.values()) and tensor.ndim > 2:
            return Reading(CONSTANT, 0.0)
        best = Reading(UNKNOWN, float("inf"))
        for candidate in self._usual(tensor):
            found = self._compared(candidate, tensor, moved)
            if found.error <= self.rounding:
                return found
            best = min(best, found, key=lambda reading: reading.error)
        if best.error <= self.tolerance:
            return best
        for candidate in self._others(tensor):
            found = self._compared(candidate, tensor, moved)
            if found.error <= self.tolerance:
                return found
        orders = [self._permuted(tensor, x, s) for s, x in moved.items()]
        return Reading(ANOTHER_ORDER, 0.0) if all(orders) else best

    def _permuted(self, tensor: Tensor, moved: Tensor, element: int) -> bool:
        """Whether channels of the map of a moved image are those of the map, moved."""
        if tensor.ndim != 4 or tensor.shape[1] > CHANNELS:
            return False
        return permuted(moved, act_on_image(self.group, element, tensor), 1, self.tolerance)

    def _compared(
        self, candidate: Representation, tensor: Tensor, moved: dict[int, Tensor]
    ) -> Reading:
        errors = [visible_error(x, candidate.act(s, tensor), ROUNDING) for s, x in moved.items()]
        error, of_differences = max(errors)
        return Reading(candidate, error, of_differences)

    def by_layout(self, name: str, layout: Layout) -> Representation:
        """The regular representation, or an image, of a tensor with this layout."""
        group = self.group

        def act(s: int, x: Tensor) -> Tensor:
            return move(group, layout, self.image, s, x, frames=group.relative[s])

        return Representation(name, act, layout)

    def layouts(self, tensor: Tensor) -> Iterator[Representation]:
        """Regular representations that fit the shape of a tensor."""
        yield from (x for x in self._usual(tensor) if x.regular)
        yield from self._others(tensor)

    def _others(self, tensor: Tensor) -> Iterator[Representation]:
        for layout in OTHER_LAYOUTS if self.group.order > 1 else ():
            if fits(layout, tensor, self.group, self.image):
                yield self.by_layout(f"regular, {layout_text(layout)}", layout)

    def _usual(self, tensor: Tensor) -> Iterator[Representation]:
        """All that fit a shape in the usual layouts, those that say most first."""
        order, shape = self.group.order, tuple(tensor.shape)
        if tensor.ndim == 4 and order > 1:
            if shape[1] % order == 0:
                yield self.by_layout("regular, |H| innermost", ("c", "cg", "h", "w"))
                yield self.by_layout("regular, |H| outermost", ("c", "gc", "h", "w"))
            if shape[0] == order * self.image.shape[0]:
                batch = "frames within the batch"
                yield self.by_layout(f"{batch}, |H| innermost", ("bg", "c", "h", "w"))
                yield self.by_layout(f"{batch}, |H| outermost", ("gb", "c", "h", "w"))
        if tensor.ndim >= 4:
            yield from self._maps(shape)
        yield from self._of_tokens(tensor)
        if tensor.ndim == 2:
            for size in sorted(self.maps):
                if shape[1] == size[0] * size[1] * size[2]:
                    yield Representation("flattened image", _flattened(self.group, size))
        if tensor.ndim in (2, 3):
            yield Representation("invariant")
            vector = ("c",) * (tensor.ndim - 1)
            if order > 1 and shape[-1] % order == 0:
                yield self.by_layout("regular vector, |H| innermost", (*vector, "cg"))
            if order > 1 and tensor.ndim == 2 and shape[1] % order == 0:
                yield self.by_layout("regular vector, |H| outermost", (*vector, "gc"))

    def _maps(self, shape: tuple[int, ...]) -> Iterator[Representation]:
        """Feature maps and images with positions along any two axes that are neighbours."""
        usual = len(shape) - 2
        for row in sorted(range(1, usual + 1), key=lambda axis: axis != usual):
            letters = ["c"] * len(shape)
            letters[row : row + 2] = "hw"
            note = "" if row == usual else f", positions along axes {row} and {row + 1}"
            for frame in range(1, len(shape)):
                if letters[frame] == "c" and shape[frame] == self.group.order > 1:
                    layout = (*letters[:frame], "g", *letters[frame + 1 :])
                    yield self.by_layout("regular" + note, layout)
            yield self.by_layout("image" + note, tuple(letters))

    def _of_tokens(self, tensor: Tensor) -> Iterator[Representation]:
        shape = tensor.shape
        scores, tokens = "scores of pairs of tokens", "tokens"
        for axes, name in (((-2, -1), scores), ((1,), tokens), ((2,), tokens)):
            fit = tensor.ndim == 3
            if name == scores:
                fit = tensor.ndim == 4 and shape[-1] in self.tokens
            prefix = _prefix({shape[axis] for axis in axes}, self.image) if fit else None
            if prefix is not None:
                act = _on_tokens(self.group, axes, prefix, self.image)
                held = {axis % tensor.ndim for axis in axes}
                layout = tuple("p" if axis in held else "c" for axis in range(tensor.ndim))
                yield Representation(name, act, layout)


def _flattened(group: PointGroup, size: tuple[int, ...]) -> Callable[[int, Tensor], Tensor]:
    return lambda s, x: act_on_image(group, s, x.unflatten(1, size)).flatten(1)


def _prefix(sizes: set[int], image: Tensor) -> int | None:
    """How many tokens come before those of a grid."""
    size = sizes.pop() if len(sizes) == 1 else 0
    return next((n for n in range(PREFIXES) if size - n > 1 and grid(size - n, image)), None)


def _on_tokens(
    group: PointGroup, axes: tuple[int, ...], prefix: int, image: Tensor
) -> Callable[[int, Tensor], Tensor]:
    def act(s: int, x: Tensor) -> Tensor:
        sides = grid(x.shape[axes[0]] - prefix, image)
        assert sides is not None
        tokens = torch.arange(sides[0] * sides[1], dtype=torch.float64).reshape(sides)
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


def visible_error(found: Tensor, expected: Tensor, rounding: float) -> tuple[float, bool]:
    """`relative_error`, unless an offset that all vectors ``(images, channels)`` share hides it.

    An error above `rounding` is then relative to how much the vectors of different images differ,
    if it is at least `VISIBLE` of that. Whether it is relative to this is returned, too.
    """
    error = relative_error(found, expected)
    if found.ndim != 2 or not rounding < error < float("inf"):
        return error, False
    spread = (expected - expected.mean(0)).norm()
    if not spread > rounding * expected.norm():  # one image, or always the same one
        return error, False
    visible = ((found - expected).norm() / spread).item()
    return (visible, True) if visible >= VISIBLE and visible > error else (error, False)


def permuted(moved: Tensor, turned: Tensor, axis: int, tolerance: float) -> bool:
    """Whether slices along an axis are those of another tensor in some order."""
    if turned.shape != moved.shape:
        return False
    rows, wanted = (x.movedim(axis, 0).flatten(1) for x in (moved, turned))
    distances = torch.cdist(rows, wanted, compute_mode="donot_use_mm_for_euclid_dist")
    least, index = distances.min(1)
    if not (least <= tolerance * wanted.norm(dim=1).max().clamp(min=1e-300)).all():
        return False
    return len(set(index.tolist())) == len(index)
