"""A part of a forward that breaks a symmetry, run again on other inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from gsa_core.check.layouts import move
from gsa_core.check.representations import (
    ANOTHER_ORDER,
    Reader,
    Representation,
    relative_error,
)

__all__ = ["CANNOT_RUN", "Trial", "is_own", "of_library"]

Action = Callable[[Representation, int, Tensor], Tensor]

CANNOT_RUN = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError)


@dataclass
class Trial:
    """A part of a forward, which can be run on other inputs.

    Parameters
    ----------
    module
        Whose code breaks the symmetry.
    run
        What it computes up to the tensor that does not transform.
    inputs, how
        The module's input, and how it transforms.
    broken, guess
        The tensor that does not transform, and the representation of the least error.
    after
        The last layer before it, in the same forward, whose output transforms; ``""`` for none.
    reader, limit
        How tensors are read, and the largest error of one that transforms.
    """

    module: nn.Module
    run: Callable[[Tensor], Tensor | None]
    inputs: Tensor
    how: Representation
    broken: Tensor
    guess: Representation
    after: str
    reader: Reader
    limit: float

    def runs(self) -> bool:
        """Whether it computes the same again from this one input."""
        try:
            again = self.run(self.inputs)
        except CANNOT_RUN:
            return False
        return again is not None and relative_error(again, self.broken) <= self.reader.rounding

    def transforms(self) -> bool:
        """Whether its output transforms, as the module is now."""
        plain = self.run(self.inputs)
        moved = {s: self.run(self.how.act(s, self.inputs)) for s in self.elements}
        if plain is None or any(x is None for x in moved.values()):
            return False
        reading = self.reader.read(plain, moved)  # type: ignore[arg-type]
        return reading.representation != ANOTHER_ORDER and reading.error <= self.limit

    @property
    def elements(self) -> list[int]:
        """Elements of the group that move pixels onto pixels, but the identity."""
        return [s for s in self.reader.group.exact_elements if s != 0]

    def commutes(self, before: Action, after: Action) -> bool:
        """Whether moving the input by one action moves the output by another, in some layout."""
        moved = {s: self.run(before(self.how, s, self.inputs)) for s in self.elements}
        return any(
            all(
                x is not None and relative_error(x, after(way, s, self.broken)) <= self.limit
                for s, x in moved.items()
            )
            for way in self.reader.layouts(self.broken)
        )

    def action(self, *, frames: str, space: bool = True) -> Action:
        """An action on regular features: `frames` "moved", "kept", or moved as the "inverse"."""
        group = self.reader.group

        def act(way: Representation, s: int, x: Tensor) -> Tensor:
            orders = {"moved": group.relative[s], "kept": None, "inverse": group.product[:, s]}
            order = orders[frames]
            return move(group, way.layout, self.reader.image, s, x, frames=order, space=space)

        return act


def of_library(module: nn.Module) -> bool:
    """Whether a module is a layer of this library, or a subclass of one."""
    return any(kind.__module__.startswith("gsa_core.") for kind in type(module).__mro__)


def is_own(module: nn.Module) -> bool:
    """Whether the code of a module is the user's: neither torch's nor this library's."""
    return not type(module).__module__.startswith(("torch.nn.", "gsa_core."))
