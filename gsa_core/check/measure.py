"""The symmetry of any module, layer by layer: what turns with the image, and what breaks it."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from gsa_core.check.calls import Call, input_of, one_tensor, run
from gsa_core.check.causes import causes_of
from gsa_core.check.forwards import causes_in_code
from gsa_core.check.inputs import check_image, check_module, check_same_twice
from gsa_core.check.report import ROUNDING, TOLERANCE, LayerSymmetry, SymmetryReport
from gsa_core.check.representations import ANOTHER_ORDER, UNKNOWN, Reader, Reading
from gsa_core.check.trials import Trial
from gsa_core.groups import PointGroup, act, point_group

__all__ = ["check_equivariance"]


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
        Any module that maps images, or feature maps in the regular representation; of any library.
    image
        Images ``(batch, channels, height, width)`` or feature maps ``(batch, channels, |H|,
        height, width)`` that every element changes, such as random ones.
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
    calls = run(module, image)
    check_same_twice(calls, run(module, image))
    moved = {s: run(module, act(group, s, image)) for s in elements}
    if any(len(other) != len(calls) for other in moved.values()):
        raise ValueError("module: its layers are called differently for a moved image")
    rounding, tolerance = (ROUNDING, TOLERANCE) if tolerance is None else (tolerance, tolerance)
    return _Judge(Reader(group, image, rounding, tolerance), calls, moved).report()


class _Judge:
    """Compares the calls for an image with those for the image moved."""

    def __init__(self, reader: Reader, calls: list[Call], moved: dict[int, list[Call]]) -> None:
        self.reader, self.calls, self.moved = reader, calls, moved
        shapes = [tuple(call.given.shape) for call in calls if call.given is not None]
        self.limit, self.broken = reader.tolerance, [*calls[:0]]
        reader.maps = {shape[1:] for shape in shapes if len(shape) == 4}
        reader.tokens = {size for shape in shapes if len(shape) == 3 for size in shape[1:]}
        self.given = {
            call: self._read(index, "given")
            for index, call in enumerate(calls)
            if call.given is not None
        }

    def report(self) -> SymmetryReport:
        """All layers in order, and the first that breaks."""
        output = self.calls[-1].given
        if output is None:
            raise ValueError("module: got one that returns no tensor; accepts one that does")
        if not output.isfinite().all():
            raise ValueError(
                "module: got one whose output for this image has NaN or infinite values; accepts "
                "one with finite outputs"
            )
        rounding, tolerance = self.reader.rounding, self.reader.tolerance
        rows = [self._row(call) for call in self.given]
        report = SymmetryReport(self.reader.group.name, tolerance, rows, rounding=rounding)
        if not report.decided:
            clear = any(x.parent is self.calls[-1] for x in self._above(tolerance))
            self.limit = tolerance if clear else rounding
            self.broken = self._above(self.limit)
            place, causes = self._explained(self.calls[-1])
            return replace(report, suspect=place, causes=causes)
        if report.equivariant:
            return report
        self.limit, self.broken = tolerance, self._above(tolerance)
        broken, causes = self._explained(self.calls[-1])
        return replace(report, broken=broken, causes=causes)

    def _above(self, limit: float) -> list[Call]:
        return [call for call, reading in self.given.items() if reading.error > limit]

    def _row(self, call: Call) -> LayerSymmetry:
        """A layer's line; its layout is not known where it is within one that transforms."""
        reading = self.given[call]
        name, outer = reading.representation.name, call.parent
        while reading.error > self.reader.tolerance and outer is not None:
            if outer in self.given and self.given[outer].error <= self.reader.rounding:
                name = UNKNOWN.name
            outer = outer.parent
        assert call.given is not None
        kind, shape = type(call.module).__name__, tuple(call.given.shape)
        return LayerSymmetry(
            call.name, kind, shape, name, reading.error, of_differences=reading.of_differences
        )

    def _explained(self, call: Call) -> tuple[str, list[str]]:
        """The layer within a call that breaks, or the module whose own code does, and why.

        A layer whose output has an unusual layout is not to blame where what contains it is right.
        """
        within = next((child for child in self.broken if child.parent is call), None)
        if within is None:
            return str(call), self._causes(call)
        if within.taken is not None:
            reading = self._read(self.calls.index(within), "taken")
            if reading.error > self.limit:
                trial = self._trial(call, within, reading)
                own = f"the forward of {type(call.module).__name__}, before {within}"
                return own, self._in_code(trial)
        return self._explained(within)

    def _causes(self, call: Call) -> list[str]:
        """Of a call within which no layer breaks."""
        if call.taken is None:
            return []
        how = self._read(self.calls.index(call), "taken").representation
        if how == ANOTHER_ORDER:
            return [
                "the frames of its input are in another order than that of the group's elements: "
                "compare the permutation with `group.relative` (a one-hot or an index in a wrong "
                "order)"
            ]
        found = causes_of(call.module, call.taken, how, self.reader.group)
        return found or self._in_code(self._trial(call, None, self.given[call]))

    def _in_code(self, trial: Trial | None) -> list[str]:
        """By trials, where errors are clear."""
        clear = self.limit == self.reader.tolerance
        return causes_in_code(trial) if trial is not None and clear else []

    def _trial(self, call: Call, within: Call | None, broken: Reading) -> Trial | None:
        """What runs a module again, up to the input of a layer within it, or to its output."""
        tensor = call.given if within is None else within.taken
        if call.taken is None or tensor is None:
            return None

        def again(features: Tensor) -> Tensor | None:
            if within is None:
                return one_tensor(call.module(features))
            return input_of(within.module, call.module, features)

        how = self._read(self.calls.index(call), "taken").representation
        before = self.calls[: None if within is None else self.calls.index(within)]
        inner = [x for x in before if x.parent is call and x in self.given]
        right = [x for x in inner if x not in self.broken]
        after = str(right[-1]) if right else ""
        guess = broken.representation
        return Trial(
            call.module, again, call.taken, how, tensor, guess, after, self.reader, self.limit
        )

    def _read(self, index: int, what: str) -> Reading:
        """How a tensor of a call transforms."""
        tensor: Tensor = getattr(self.calls[index], what)
        moved = {s: getattr(calls[index], what) for s, calls in self.moved.items()}
        return self.reader.read(tensor, moved)
