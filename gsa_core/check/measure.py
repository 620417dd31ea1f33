"""The symmetry of any module, layer by layer: what turns with the image, and what breaks it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gsa_core.check.causes import causes_in_forward, causes_of, one_tensor
from gsa_core.check.inputs import check_image, check_module
from gsa_core.check.report import ROUNDING, TOLERANCE, LayerSymmetry, SymmetryReport
from gsa_core.check.representations import (
    permutation_of_channels,
    representations,
    visible_error,
)
from gsa_core.groups import PointGroup, act_on_image, point_group

__all__ = ["check_equivariance"]


@dataclass(eq=False)
class _Call:
    """One call of a sub-module: its name, the call it is within, and its first tensors."""

    name: str
    module: nn.Module
    parent: _Call | None
    taken: Tensor | None = None
    given: Tensor | None = None


@torch.no_grad()
def check_equivariance(
    module: nn.Module,
    image: Tensor,
    group: PointGroup | str = "D4",
    *,
    tolerance: float | None = None,
) -> SymmetryReport:
    """Measure how the output of every sub-module transforms when the image is moved.

    A copy of the module is run in float64 and evaluation mode on the image and on the image moved
    by every element of the group that keeps the pixel grid. How a tensor transforms is found by
    its shape: an image, a feature map in the regular representation (the group as an axis of its
    own or within the channels), tokens, a vector.

    Parameters
    ----------
    module
        Any module that maps images; of any library.
    image
        Images ``(batch, channels, height, width)`` that every element changes, such as random
        ones.
    group
        The point group H or its name.
    tolerance
        Largest relative L2 error of a layer that is equivariant; of vectors that are wrong by 1 %
        of their difference between images or more, relative to this difference. By default an
        error up to 1e-11 is equivariant, one above 1e-6 is not, and between them the report is not
        `decided`: near-zero weights may hide a broken layer. For weights that were made symmetric
        in float32, which are so to 1e-7, state 1e-6.

    Examples
    --------
    >>> convolution = nn.Conv2d(1, 2, 3, padding=1)
    >>> report = check_equivariance(convolution, torch.rand(1, 1, 6, 6), "C4")
    >>> report.equivariant, report.causes
    (False, ['an ordinary convolution, whose kernel is not turned: lift it to the group'])
    """
    check_module(module)
    group = point_group(group)
    elements = [s for s in group.exact_elements if s != 0]
    if not elements:
        raise ValueError(
            f"group: got {group.name}, of which no element but the identity keeps the pixel grid; "
            "accepts a group with mirrors, half or quarter turns"
        )
    check_image(image, group, elements)
    module = copy.deepcopy(module).double().eval()
    image = image.double()
    calls = _run(module, image)
    moved = {s: _run(module, act_on_image(group, s, image)) for s in elements}
    if any(len(other) != len(calls) for other in moved.values()):
        raise ValueError("module: its layers are called differently for a moved image")
    rounding, tolerance = (ROUNDING, TOLERANCE) if tolerance is None else (tolerance, tolerance)
    judge = _Judge(group, image, calls, moved, tolerance, rounding)
    return judge.report()


def _run(module: nn.Module, image: Tensor) -> list[_Call]:
    """Every call of a sub-module in the order in which they end, the whole module last."""
    calls: list[_Call] = []
    with _recorded(module, calls):
        module(image)
    return calls


@contextmanager
def _recorded(module: nn.Module, calls: list[_Call]) -> Iterator[None]:
    times: dict[str, int] = {}
    running: list[_Call] = []

    def begin(name: str, layer: nn.Module) -> None:
        times[name] = times.get(name, 0) + 1
        label = name if times[name] == 1 else f"{name}#{times[name]}"
        running.append(_Call(label or "(output)", layer, running[-1] if running else None))

    def end(taken: object, given: object) -> None:
        call = running.pop()
        tensors = [one_tensor(taken), one_tensor(given)]
        call.taken, call.given = (None if x is None else x.detach().clone() for x in tensors)
        calls.append(call)

    handles = []
    for name, layer in module.named_modules():
        handles += [
            layer.register_forward_pre_hook(lambda layer, _, name=name: begin(name, layer)),
            layer.register_forward_hook(lambda _, taken, given: end(taken, given)),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Judge:
    """Compares the calls for an image with those for the image moved."""

    def __init__(
        self,
        group: PointGroup,
        image: Tensor,
        calls: list[_Call],
        moved: dict[int, list[_Call]],
        tolerance: float,
        rounding: float,
    ) -> None:
        self.group, self.image, self.tolerance, self.rounding = group, image, tolerance, rounding
        self.calls, self.moved = calls, moved
        shapes = [tuple(call.given.shape) for call in calls if call.given is not None]
        self.maps: set[tuple[int, ...]] = {shape[1:] for shape in shapes if len(shape) == 4}
        self.tokens = {size for shape in shapes if len(shape) == 3 for size in shape[1:]}

    def report(self) -> SymmetryReport:
        """All layers in order, and the first that breaks."""
        rows: list[LayerSymmetry] = []
        errors: dict[_Call, float] = {}
        for index, call in enumerate(self.calls):
            if call.given is None:
                continue
            how, errors[call] = self._transforms(index, "given")
            kind, shape = type(call.module).__name__, tuple(call.given.shape)
            rows.append(LayerSymmetry(call.name, kind, shape, how, errors[call]))
        output = self.calls[-1].given
        if output is None:
            raise ValueError("module: got one that returns no tensor; accepts one that does")
        if not output.isfinite().all():
            raise ValueError(
                "module: got one whose output for this image has NaN or infinite values; accepts "
                "one with finite outputs"
            )
        report = SymmetryReport(self.group.name, self.tolerance, rows, rounding=self.rounding)
        if rows[-1].error <= self.tolerance:
            return report
        self.broken = [call for call, error in errors.items() if error > self.tolerance]
        broken, causes = self._explained(self.calls[-1])
        return replace(report, broken=broken, causes=causes)

    def _explained(self, call: _Call) -> tuple[str, list[str]]:
        """The layer within a call that breaks, or the module whose own code does, and why.

        A layer whose output has an unusual layout is not to blame where what contains it is right.
        """
        named = f"{call.name} ({type(call.module).__name__})"
        within = next((child for child in self.broken if child.parent is call), None)
        if within is None:
            how, _ = self._transforms(self.calls.index(call), "taken")
            assert call.taken is not None
            found = causes_of(call.module, call.taken, how, self.group, self.tolerance)
            if not found and any(call.module.children()):
                found = causes_in_forward(call.module, call.module, call.taken)
            return named, found
        if within.taken is not None:
            _, error = self._transforms(self.calls.index(within), "taken")
            if error > self.tolerance:
                named = f"{within.name} ({type(within.module).__name__})"
                where = f"the forward of {type(call.module).__name__}, before {named}"
                return where, causes_in_forward(call.module, within.module, within.taken)
        return self._explained(within)

    def _transforms(self, index: int, what: str) -> tuple[str, float]:
        """The representation of the least error, and this error."""
        tensor: Tensor = getattr(self.calls[index], what)
        pairs = [(s, getattr(calls[index], what)) for s, calls in self.moved.items()]
        if all(torch.equal(x, tensor) for _, x in pairs) and tensor.ndim > 2:
            return "constant", 0.0
        best = ("nothing known", float("inf"))
        for candidate in representations(tensor, self.group, self.image, self.maps, self.tokens):
            error = max(visible_error(x, candidate.act(s, tensor), ROUNDING) for s, x in pairs)
            if error <= self.rounding:
                return candidate.name, error
            best = min(best, (candidate.name, error), key=lambda x: x[1])
        if best[1] <= self.tolerance:
            return best
        found = [
            permutation_of_channels(x, tensor, self.group, s, self.tolerance) for s, x in pairs
        ]
        if all(permutation is not None for permutation in found):
            return "regular, another order", 0.0
        return best
