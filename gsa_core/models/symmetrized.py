"""Any network made invariant by pooling over the orbit of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.arguments import check_choice
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup, act_on_image, check_group
from gsa_core.models.network import Model

__all__ = ["Symmetrized"]


class Symmetrized(Model, Identified):
    """Any network made invariant after the fact: its answers pooled over the orbit of the image.

    ``z(x) = pool_s network(L_s x)``. It costs ``|H|`` passes. Wrapped around a trained network it
    needs no training; trained through, it is the same network fine-tuned.

    Parameters
    ----------
    network
        Maps images to logits. To pool features it needs ``features`` and ``head.classify``, as
        every network of `build_model` has.
    group
        The point group H, all of whose elements keep the pixel grid.
    reduction
        ``"mean"`` or ``"max"``.
    of
        ``"logits"`` or ``"features"``, which the network then classifies.

    Examples
    --------
    >>> from gsa_core import build_model, cyclic_group
    >>> network = Symmetrized(build_model("vit", image_size=8), cyclic_group(4))
    >>> network(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        network: nn.Module,
        group: PointGroup,
        *,
        reduction: str = "mean",
        of: str = "logits",
    ) -> None:
        super().__init__()
        check_group(group)
        check_choice("reduction", reduction, ("mean", "max"))
        check_choice("of", of, ("logits", "features"))
        if of == "features" and not hasattr(network, "features"):
            raise ValueError(
                f"of: got 'features' of a {type(network).__name__}, which has none; accepts "
                "'logits', or a network with `features` and `head.classify`"
            )
        if not group.keeps_axes:
            raise ValueError(
                f"group: got {group.name}, which turns images off the pixel grid; accepts C1, C2, "
                "C4, D1, D2, D4"
            )
        self.network, self.group, self.reduction, self.of = network, group, reduction, of

    def identity(self) -> dict[str, Any]:
        """What is pooled, how, over which orbit."""
        return {"group": self.group.name, "reduction": self.reduction, "of": self.of}

    def layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The network as one layer: only its answers are symmetric."""
        return {"network": self}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, in_channels, height, width)`` to logits ``(batch, num_classes)``."""
        orbit = [act_on_image(self.group, s, image) for s in range(self.group.order)]
        if self.of == "logits":
            return self._pool(self.network, orbit)
        network: nn.Module = self.network
        pooled = self._pool(network.features, orbit)  # type: ignore[arg-type]
        return network.head.classify(pooled)  # type: ignore[union-attr, operator]

    def _pool(self, answer: Callable[[Tensor], Tensor], orbit: list[Tensor]) -> Tensor:
        """Pool over the orbit, in one batch where all its images have the same size."""
        if orbit[0].shape[2] == orbit[0].shape[3]:
            answers = answer(torch.cat(orbit)).unflatten(0, (len(orbit), -1))
        else:
            answers = torch.stack([answer(image) for image in orbit])
        return answers.mean(0) if self.reduction == "mean" else answers.amax(0)
