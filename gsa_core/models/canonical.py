"""Learned canonicalisation: a small equivariant network turns the image, a plain one classifies.

Kaba et al. (2023), https://arxiv.org/abs/2211.06489.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_shape
from gsa_core.common.axes import to_tokens
from gsa_core.groups import PointGroup, act_on_image, check_group, point_group
from gsa_core.models.network import Model
from gsa_core.models.transformer import GroupTransformer
from gsa_core.nn.convolution import GroupConv2d, LiftingConv2d
from gsa_core.nn.pool import SymmetricMaxPool2d
from gsa_core.resample import rotate_image

__all__ = ["Canonical", "Canonicaliser"]

# Two scores tie within so many units in the last place of the sum of their terms' absolute values:
# scores of turned copies differ by 8 of them at most, in networks of many sizes.
ROUNDING = 32
LEAST_WIDTH, SHARE = 4, 8  # channels of the scorer: an eighth of the network's, four at least


class Canonicaliser(nn.Module):
    """Turns every image back by the group element that a small equivariant network scores best.

    ``C(x) = L_k^-1 x`` with ``k = argmax_h s(x)_h``. Scores move with the image,
    ``s(L_g x)_h = s(x)_(g^-1 h)``, hence ``C(L_g x) = C(x)`` wherever the best score is alone:
    exact for the elements that keep the pixel grid. Where scores tie, any of the best may be taken,
    and nothing is promised unless the image has that symmetry itself. Other elements turn by
    bilinear resampling, and are approximate.

    In training the gradient of the scores is that of a straight-through estimator: the forward
    pass takes the best image alone, as in evaluation, the backward pass treats the choice as
    ``softmax(s)``, so ``d loss / d p_h = <d loss / d C, L_h^-1 x>``. It is biased; unlike a mixture
    over all elements it needs one pass of the classifier instead of ``|H|``, and trains that on
    the images which it will see.

    Parameters
    ----------
    group
        The point group H.
    in_channels
        Channels of the image.
    channels
        Channels a frame of the scorer.

    Examples
    --------
    >>> from gsa_core import cyclic_group
    >>> turn = Canonicaliser(cyclic_group(4), 1, 4).eval()
    >>> image = torch.rand(1, 1, 8, 8)
    >>> torch.equal(turn(image), turn(torch.rot90(image, 1, (2, 3))))
    True
    """

    def __init__(self, group: PointGroup, in_channels: int, channels: int) -> None:
        super().__init__()
        check_group(group)
        self.group = group
        self.lift = LiftingConv2d(group, in_channels, channels, 5)
        self.convolutions = nn.ModuleList(
            GroupConv2d(group, channels, channels, 3) for _ in range(2)
        )
        self.pool = SymmetricMaxPool2d()
        self.score = nn.Linear(channels, 1)

    def scores(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch group"]:
        """A score of every group element, which moves with the image."""
        return self.score(self._tokens(image).mean((1, 2))).squeeze(-1)

    def _tokens(self, image: Tensor) -> Tensor:
        x = functional.gelu(self.lift(image))
        for convolution in self.convolutions:
            x = functional.gelu(convolution(self.pool(x)))
        return to_tokens(x)

    def margin(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, " batch"]:
        """How far the best score is above the next one; about 0 is a tie."""
        if self.group.order == 1:
            return image.new_full(image.shape[:1], torch.inf)
        return _margin(self.scores(image))

    def ties(self, image: Float[Tensor, "batch channels height width"]) -> Bool[Tensor, " batch"]:
        """Whether the two best scores of an image are within rounding of each other.

        A turned copy of the image may then be turned back by the other element. Rounding is that of
        the terms of a score: they may cancel, and leave a score that is much smaller.
        """
        tokens = self._tokens(image)
        scores = self.score(tokens.mean((1, 2))).squeeze(-1)
        if self.group.order == 1:
            return scores.new_zeros(len(scores), dtype=torch.bool)
        weight, bias = self.score.weight.abs(), self.score.bias.abs()
        terms = functional.linear(tokens.abs().mean((1, 2)), weight, bias).squeeze(-1)
        return _margin(scores) <= ROUNDING * torch.finfo(scores.dtype).eps * terms.amax(1)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Turn every image back by its own element."""
        check_shape("image", image, "batch", "channels", "height", "width")
        height, width = image.shape[2:]
        if height != width and self.group.rotations % 4 == 0:
            raise ValueError(
                f"image: got {height}x{width} with {self.group.name}, whose quarter turns swap "
                "height and width; accepts square images"
            )
        scores = self.scores(image)
        chosen = scores.argmax(1)
        orbit = torch.stack([self._turned_back(h, image) for h in range(self.group.order)])
        if not (self.training and torch.is_grad_enabled()):
            return orbit[chosen, torch.arange(len(image), device=image.device)]
        chance = scores.softmax(1)
        hard = functional.one_hot(chosen, self.group.order).to(chance.dtype)
        return torch.einsum("bh,hbcyx->bcyx", hard + (chance - chance.detach()), orbit)

    def _turned_back(self, element: int, image: Tensor) -> Tensor:
        """``L_h^-1 x``; the inverse of a mirror and then a turn is the turn back and then it."""
        if self.group.is_exact(element):
            return act_on_image(self.group, int(self.group.inverse[element]), image)
        turn, mirrored = element % self.group.rotations, element >= self.group.rotations
        turned = rotate_image(image, -360 * turn / self.group.rotations)
        return turned.flip(-1) if mirrored else turned


def _margin(scores: Tensor) -> Tensor:
    best = scores.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


class Canonical(GroupTransformer):
    """A plain transformer on images that a `Canonicaliser` turns: one pass, plus the small scorer.

    Parameters
    ----------
    group
        The point group that images are turned by; the transformer itself has none.
    in_channels, channels
        As in `GroupTransformer`; the scorer has an eighth of these channels, four at least.
    arguments
        Others of `GroupTransformer`.
    """

    def __init__(
        self, group: PointGroup, *, in_channels: int, channels: int, **arguments: Any
    ) -> None:
        plain = point_group("C1")
        super().__init__(plain, in_channels=in_channels, channels=channels, **arguments)
        self.group = group
        self.canonicalise = Canonicaliser(group, in_channels, max(LEAST_WIDTH, channels // SHARE))

    def layers(self) -> dict[str, nn.Module]:
        """The network as one layer: only its answers are symmetric."""
        return {"network": self}

    def _chain(self) -> dict[str, nn.Module]:
        first, *rest = super().layers().items()
        return dict([first, ("canonicalise", self.canonicalise), *rest])

    def margin(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, " batch"]:
        """How far the best score of an image is above the next one; about 0 is a tie."""
        return self.canonicalise.margin(self.standardise(image))

    def ties(self, image: Float[Tensor, "batch channels height width"]) -> Bool[Tensor, " batch"]:
        """Whether the two best scores of an image are within rounding of each other."""
        return self.canonicalise.ties(self.standardise(image))

    def _forward_masked(self, image: Tensor, mask: Tensor) -> Tensor:
        return Model._forward_masked(self, image, mask)
