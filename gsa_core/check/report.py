"""What a check found: the symmetry of every layer, and a verdict on the output."""

from __future__ import annotations

from dataclasses import dataclass, field

from gsa_core.groups import point_group

__all__ = ["LayerSymmetry", "SymmetryReport"]


@dataclass(frozen=True)
class LayerSymmetry:
    """How the output of a sub-module transforms, and the largest relative error over elements."""

    name: str
    module: str
    shape: tuple[int, ...]
    transforms: str
    error: float


@dataclass(frozen=True)
class SymmetryReport:
    """What `check_equivariance` found."""

    group: str
    tolerance: float
    layers: list[LayerSymmetry]
    broken: str | None = None
    causes: list[str] = field(default_factory=list)

    @property
    def equivariant(self) -> bool:
        """Whether the output of the whole module transforms."""
        return self.layers[-1].error <= self.tolerance

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.layers)
        lines = [
            f"{row.name:{width}}  {row.error:8.1e}  {row.transforms}  "
            f"({row.module}, {'x'.join(map(str, row.shape))})"
            for row in self.layers
        ]
        if self.broken is None:
            lines.append(f"the output transforms under {self._tested()}")
        else:
            lines.append(f"breaks the symmetry under {self.group} first: {self.broken}")
            lines += [f"  {cause}" for cause in self.causes]
        return "\n".join(lines)

    def _tested(self) -> str:
        """The group, or which of its elements are measured: those that keep the pixel grid."""
        group = point_group(self.group)
        if group.keeps_axes:
            return group.name
        return (
            f"the {len(group.exact_elements)} of {group.order} elements of {group.name} that keep "
            "the pixel grid; the others were not tested"
        )
