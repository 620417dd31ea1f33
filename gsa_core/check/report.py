"""What a check found: the symmetry of every layer, and a verdict on the output."""

from __future__ import annotations

from dataclasses import dataclass, field

from gsa_core.groups import point_group

__all__ = ["LAYOUT_NOT_KNOWN", "ROUNDING", "TOLERANCE", "LayerSymmetry", "SymmetryReport"]

ROUNDING = 1e-11  # exact layers are at about 1e-15 in float64, deep networks a little above
TOLERANCE = 1e-6  # weights that were made symmetric in float32 are so to 1e-7
LAYOUT_NOT_KNOWN = "layout not known"


@dataclass(frozen=True)
class LayerSymmetry:
    """How the output of a sub-module transforms, and the largest relative error over elements.

    `of_differences`: the error is relative to how much the vectors of different images differ.
    """

    name: str
    module: str
    shape: tuple[int, ...]
    transforms: str
    error: float
    of_differences: bool = False


@dataclass(frozen=True)
class SymmetryReport:
    """What `check_equivariance` found.

    An error up to `rounding` is equivariant, one above `tolerance` is not. Between them nothing is
    decided: near-zero weights hide a broken layer, and float32 made symmetric weights inexact.
    `broken` is the first place that breaks; where the report is not decided, `suspect` is the first
    whose error is clearly above rounding. `causes` are sentences about either.
    """

    group: str
    tolerance: float
    layers: list[LayerSymmetry]
    broken: str | None = None
    causes: list[str] = field(default_factory=list)
    rounding: float = ROUNDING
    suspect: str | None = None

    @property
    def equivariant(self) -> bool:
        """Whether the output of the whole module transforms; false where it is not decided."""
        return self.decided and self.layers[-1].error <= self.tolerance

    @property
    def decided(self) -> bool:
        """Whether the errors say that the module is equivariant, or that it is not."""
        return self.layers[-1].error > self.tolerance or not self._doubtful()

    def _doubtful(self) -> list[LayerSymmetry]:
        return [row for row in self.layers if self.rounding < row.error <= self.tolerance]

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.layers)
        lines = [
            f"{row.name:{width}}  {_printed(row):>8}  {row.transforms}  "
            f"({row.module}, {'x'.join(map(str, row.shape))})"
            for row in self.layers
        ]
        if any(row.of_differences for row in self.layers):
            lines.append("* relative to how much the vectors of different images differ")
        if not self.decided:
            lines += self._doubts()
        elif self.broken is None:
            lines.append(f"the output transforms under {self._tested()}")
        else:
            lines.append(f"breaks the symmetry under {self.group} first: {self.broken}")
            lines += [f"  {cause}" for cause in self.causes]
        return "\n".join(lines)

    def _doubts(self) -> list[str]:
        worst = max(self._doubtful(), key=lambda row: row.error)
        return [
            f"not decided whether the output transforms under {self._tested()}",
            f"  look first at {self.suspect}",
            *(f"    {cause}" for cause in self.causes),
            f"  the error {worst.error:.1e} of {worst.name} ({worst.module}) is above rounding in "
            f"float64 ({self.rounding:.0e}) and not above {self.tolerance:.0e}",
            "  near-zero weights can hide a broken layer: give every parameter random values, such "
            "as nn.init.normal_(parameter, std=0.5), and check again",
            "  weights that were made symmetric in float32 have such errors: if yours are, state "
            f"the tolerance {self.tolerance:.0e}",
        ]

    def _tested(self) -> str:
        """The group, or which of its elements are measured: those that keep the pixel grid."""
        group = point_group(self.group)
        if group.keeps_axes:
            return group.name
        return (
            f"the {len(group.exact_elements)} of {group.order} elements of {group.name} that keep "
            "the pixel grid; the others were not tested"
        )


def _printed(row: LayerSymmetry) -> str:
    """The error; none where the layout is not known, so that it would mean nothing."""
    if row.transforms == LAYOUT_NOT_KNOWN:
        return "-"
    return f"{row.error:.1e}{'*' if row.of_differences else ''}"
