"""Any network made invariant by pooling over the orbit of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Any network, made invariant by pooling its outputs over the orbit of the image.

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
        pooled = hasattr(getattr(network, "head", None), "classify")
        if of == "features" and not (hasattr(network, "features") and pooled):
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

    def extra_repr(self) -> str:
        """What is pooled, for ``print``."""
        return f"group={self.group.name}, reduction={self.reduction}, of={self.of}"

    def identity(self) -> dict[str, Any]:
        """What is pooled, how, over which orbit."""
        return {"group": self.group.name, "reduction": self.reduction, "of": self.of}

    def layers(self) -> dict[str, nn.Module]:
        """The network as one layer: only its answers are symmetric."""
        return {"network": self}

    def forward_features(self, image: Float[Tensor, "batch channels height width"]) -> Tensor:
        """The features of every turned image, turned back: ``F(h) = L_h features(L_h^-1 x)``.

        A feature map ``(batch, channels, |H|, height, width)``, equivariant as those of a group
        network are.
        """
        network = self._plain_network()
        return self._frames([network.forward_features(x) for x in self._orbit(image)])

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of such a feature map, or the features pooled over its frames."""
        network, pool = self._plain_network(), self._pool_answers
        frames = [
            act_on_image(self.group, int(self.group.inverse[h]), features[:, :, h : h + 1])
            for h in range(self.group.order)
        ]
        if not pre_logits and self.of == "logits":
            return pool(torch.stack([network.forward_head(x) for x in frames]))
        pooled = pool(torch.stack([network.forward_head(x, pre_logits=True) for x in frames]))
        return pooled if pre_logits else self.get_classifier()(pooled)

    def forward_intermediates(
        self,
        image: Float[Tensor, "batch channels height width"],
        indices: int | Sequence[int] | None = None,
        *,
        stop_early: bool = False,
        intermediates_only: bool = False,
    ) -> tuple[Tensor, list[Tensor]] | list[Tensor]:
        """Those of the network for every turned image, turned back."""
        network = self._plain_network()
        every = [
            network.forward_intermediates(x, indices, stop_early=stop_early)
            for x in self._orbit(image)
        ]
        found = [
            self._frames(list(maps)) for maps in zip(*(maps for _, maps in every), strict=True)
        ]
        if intermediates_only:
            return found
        return self._frames([last for last, _ in every]), found

    def intermediate_names(self) -> list[str]:
        """Those of the network."""
        return self._plain_network().intermediate_names()

    @property
    def num_features(self) -> int:
        """Channels of the network's feature map."""
        return self._plain_network().num_features

    @property
    def head_hidden_size(self) -> int:
        """Channels of the network's features."""
        return self._plain_network().head_hidden_size

    def get_classifier(self) -> nn.Module:
        """The network's last linear map."""
        return self._plain_network().get_classifier()

    def _make_classifier(self, num_classes: int) -> nn.Module:
        return self._plain_network()._make_classifier(num_classes)

    def _set_classifier(self, classifier: nn.Module) -> None:
        self._plain_network()._set_classifier(classifier)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """That of the network."""
        self._plain_network().set_grad_checkpointing(enable)

    def _forward_masked(self, image: Tensor, mask: Tensor) -> Tensor:
        if self.of != "logits":
            raise ValueError("mask: got one with of='features'; accepts it with of='logits'")
        masks = [act_on_image(self.group, int(s), mask.float()) > 0 for s in self.group.inverse]
        answers = [
            self.network(x, moved) for x, moved in zip(self._orbit(image), masks, strict=True)
        ]
        return self._pool_answers(torch.stack(answers))

    def _plain_network(self) -> Model:
        """The network, if it has features of one frame that can be turned back."""
        if isinstance(self.network, Model) and self.network.group.order == 1:
            return self.network
        raise ValueError(
            f"network: got a {type(self.network).__name__}, whose features have no frame to turn; "
            "accepts a network of build_model with group 'C1'"
        )

    def _orbit(self, image: Tensor) -> list[Tensor]:
        """``L_h^-1 x`` for every h."""
        return [act_on_image(self.group, int(s), image) for s in self.group.inverse]

    def _frames(self, maps: list[Tensor]) -> Tensor:
        """Feature maps of the orbit, each turned back, as frames."""
        turned = [
            act_on_image(self.group, h, x.squeeze(2) if x.ndim == 5 else x)
            for h, x in enumerate(maps)
        ]
        return torch.stack(turned, 2)

    def forward(
        self, image: Float[Tensor, "batch channels height width"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, in_channels, height, width)`` to logits ``(batch, num_classes)``."""
        if mask is not None:
            return super().forward(image, mask)
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
        return self._pool_answers(answers)

    def _pool_answers(self, answers: Tensor) -> Tensor:
        return answers.mean(0) if self.reduction == "mean" else answers.amax(0)
