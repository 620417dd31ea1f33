"""Forms: which group elements of queries and keys attend to each other; presets of options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsa_core.groups import PointGroup

__all__ = ["FORMS", "LIFTING", "PUBLISHED", "STANDARD", "Form", "Preset"]


def _no_offsets(group: PointGroup) -> None:
    """Keys lie in the query's frame."""


def _relative_offsets(group: PointGroup) -> Tensor:
    """``h^-1 h'``."""
    return group.relative


def _published_offsets(group: PointGroup) -> Tensor:
    """``(h^-1 g) (h'^-1 g)`` for the query's frame g: in C_n, the index of GE-ViT."""
    acted, of_key = group.relative[:, :, None], group.relative.T[None]
    return group.product[acted, of_key]


@dataclass(frozen=True)
class Form:
    """Which queries share which keys, as the axes of tokens say it.

    Parameters
    ----------
    name
        As users have it.
    shares_keys
        Whether keys of all frames h are seen by queries of every frame g.
    sums_queries
        Whether every frame g sees with the queries of all frames m, and sums over them.
    mixes_frames
        Whether linear maps mix the frames, or act on each alone.
    frame_offsets
        Group offset of every pair of frames that meet, ``(g, h)`` or ``(g, m, h)``, the same after
        a common left factor; ``None`` where keys lie in the query's frame.
    """

    name: str
    shares_keys: bool = False
    sums_queries: bool = False
    mixes_frames: bool = False
    frame_offsets: Callable[[PointGroup], Tensor | None] = _no_offsets

    def queries(
        self, x: Float[Tensor, "batch rows cols frames heads head_dim"], order: int
    ) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
        """Queries of every frame g; `own` are the frames m that are summed over."""
        return x.unsqueeze(3 if self.sums_queries else 4).expand(-1, -1, -1, order, -1, -1, -1)

    def keys(
        self, x: Float[Tensor, "batch rows cols frames heads head_dim"]
    ) -> Float[Tensor, "batch rows cols sets members heads head_dim"]:
        """Keys or values in one set of all frames h, or in one set for each frame g."""
        return x.unsqueeze(3 if self.shares_keys else 4)

    def result(
        self, attended: Float[Tensor, "batch rows cols group own heads head_dim"]
    ) -> Float[Tensor, "batch rows cols group channels"]:
        """The sum over frames m, heads side by side."""
        return attended.sum(4).flatten(-2) if attended.shape[4] > 1 else attended.flatten(-3)


LIFTING = Form("lifting")  # keys have no frames of their own
FORMS = {
    form.name: form
    for form in (
        Form("joint", shares_keys=True, frame_offsets=_relative_offsets),
        Form("framewise", mixes_frames=True),
        Form("published", shares_keys=True, sums_queries=True, frame_offsets=_published_offsets),
    )
}


@dataclass(frozen=True)
class Preset:
    """What a layer does apart from its form and its encoding.

    Parameters
    ----------
    all_biases
        Whether queries, keys and values have a bias, or queries alone: a bias of the keys cancels
        in the softmax, and one of the values in that of the output.
    scales_by_input
        Whether scores are divided by the root of the layer's input channels, or of a head's.
    """

    all_biases: bool = False
    scales_by_input: bool = False


STANDARD = Preset()
PUBLISHED = Preset(all_biases=True, scales_by_input=True)
