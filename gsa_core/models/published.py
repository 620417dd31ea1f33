"""The networks of the published experiments, layer by layer, so that their rows can be repeated.

Romero & Cordonnier (2021), https://arxiv.org/abs/2010.00977, section 7 and its code; GE-ViT (Xu et
al. 2023, https://arxiv.org/abs/2306.06722) uses the same networks. Parameter counts agree with the
published ones: 44,428 for C4 on rotMNIST. Where we differ: layers are exact (see
`gsa_core.attention`), and an odd grid is pooled symmetrically instead of losing its last row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.attention.layers import GroupSelfAttention, LiftingSelfAttention
from gsa_core.common.arguments import check_whole, plain
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup
from gsa_core.models.network import Model
from gsa_core.models.transformer import Standardise
from gsa_core.nn.pool import SymmetricMaxPool2d

__all__ = ["PUBLISHED", "Plan", "PublishedNetwork"]

_HEADS = 9


@dataclass(frozen=True)
class Plan:
    """What distinguishes the three networks.

    Parameters
    ----------
    channels
        After lifting.
    blocks
        Attention layers between poolings.
    widen
        Factor of the channels at the start of each block.
    crop
        Pixels cut from each side by each layer.
    norm_between
        Whether a norm and an activation follow each layer.
    pool_last
        Whether the last block is followed by a pooling too.
    """

    channels: int
    blocks: tuple[int, ...]
    widen: tuple[int, ...]
    crop: tuple[int, ...]
    norm_between: bool
    pool_last: bool = False


PUBLISHED = {
    "published_rotmnist": Plan(20, (2, 3), (1, 1), (2, 0, 2, 1, 1), norm_between=False),
    "published_cifar10": Plan(96, (2, 2, 2), (1, 2, 1), 6 * (0,), norm_between=True),
    "published_pcam": Plan(
        12, (0, 1, 2, 1), (1, 2, 2, 2), (0, 2, 1, 1), norm_between=True, pool_last=True
    ),
}


class _Norm(nn.Module):
    """Norm over channels, frames and positions of an image together, one scale a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class _Pointwise(nn.Module):
    """A linear map of the channels of every token."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.out_features = out_channels
        self.linear = nn.Linear(in_channels, out_channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return to_features(self.linear(to_tokens(x)))


class _PublishedBlock(nn.Module):
    """``y = attention(act(norm(x))) + x``, normed and cut at the sides, then ``y + mlp(y)``."""

    def __init__(self, attention: nn.Module, channels: int, out_channels: int, crop: int) -> None:
        super().__init__()
        self.crop = crop
        self.attention = nn.Sequential(
            _Norm(channels), nn.SiLU(), attention, _Norm(out_channels), nn.SiLU()
        )
        half = out_channels // 2
        self.mlp = nn.Sequential(
            _Pointwise(out_channels, half),
            _Norm(half),
            nn.SiLU(),
            _Pointwise(half, out_channels),
            _Norm(out_channels),
        )
        same = channels == out_channels
        self.shortcut = nn.Identity() if same else _Pointwise(channels, out_channels)

    def forward(
        self, x: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map a feature map to one that is smaller by the crop on each side."""
        if min(x.shape[-2:]) <= 2 * self.crop:
            height, width = x.shape[-2:]
            raise ValueError(
                f"image: got a feature map of {height}x{width}, of which this network crops "
                f"{self.crop} pixels on each side; accepts larger images"
            )
        x = functional.pad(self.attention(x) + self.shortcut(x), 4 * [-self.crop])
        return self.mlp(x) + x


class PublishedNetwork(Model, Identified):
    """A group self-attention network as published, from one of the plans in ``PUBLISHED``.

    Parameters
    ----------
    group
        The point group H; logits are invariant under its elements that keep the pixel grid.
    plan
        Which of the networks.
    image_size
        ``(height, width)`` in pixels.
    window
        Odd side of the neighbourhoods, or ``None`` for global attention.
    form
        ``"published"``, or a cheaper one in its place.
    in_channels, num_classes, attention_dropout, mean, std
        As in `build_model`.
    """

    def __init__(
        self,
        group: PointGroup,
        plan: Plan,
        *,
        in_channels: int,
        num_classes: int,
        image_size: tuple[int, int],
        window: int | None = None,
        form: str = "published",
        attention_dropout: float = 0.0,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        self.group, self.plan = group, plan
        self.standardise = Standardise(mean, std, in_channels)
        self.blocks = nn.ModuleList()
        height, width = image_size

        def options(channels: int) -> dict[str, Any]:
            return {
                "head_dim": channels // 2,
                "window": window,
                "image_size": (height, width) if window is None else None,
                "encoding": "published",
                "attention_dropout": attention_dropout,
            }

        channels = plan.channels
        lifting = LiftingSelfAttention(group, in_channels, channels, _HEADS, **options(channels))
        self.blocks.append(nn.Sequential(lifting, _Norm(channels), nn.SiLU()))
        crops = iter(plan.crop)
        for index, (size, factor) in enumerate(zip(plan.blocks, plan.widen, strict=True)):
            for layer in range(size):
                wide = channels * factor if layer == 0 else channels
                attention = GroupSelfAttention(
                    group, channels, wide, _HEADS, form=form, **options(wide)
                )
                crop = next(crops)
                block: nn.Module = _PublishedBlock(attention, channels, wide, crop)
                if plan.norm_between:
                    block = nn.Sequential(block, _Norm(wide), nn.SiLU())
                self.blocks.append(block)
                height, width, channels = height - 2 * crop, width - 2 * crop, wide
                if min(height, width) < 1:
                    got = "x".join(map(str, image_size))
                    raise ValueError(
                        f"image_size: got {got}, of which the crops of this network leave nothing; "
                        "accepts larger images"
                    )
            if index < len(plan.blocks) - 1 or plan.pool_last:
                self.blocks.append(SymmetricMaxPool2d())
                height, width = (height + 1) // 2, (width + 1) // 2
        self._channels = channels
        self.classify = self._make_classifier(num_classes)

    def identity(self) -> dict[str, Any]:
        """Which network it is."""
        return {"group": self.group.name, "plan": plain(asdict(self.plan))}

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name; the pooling comes after them."""
        named: dict[str, nn.Module] = {"standardise": self.standardise}
        named |= {f"block {i}": block for i, block in enumerate(self.blocks)}
        return named | {"classify": self.classify}

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Sum over positions, maximum over frames, of a map of logits or of features.

        The maximum comes after the linear map: logits are no linear function of these features.
        """
        logits = features if pre_logits else self.classify(features)
        return logits.sum((-2, -1)).amax(-1)

    @property
    def num_features(self) -> int:
        """Channels a frame of the feature map that reaches the linear map."""
        return self._channels

    @property
    def head_hidden_size(self) -> int:
        """Channels of the features, `num_features`."""
        return self._channels

    def get_classifier(self) -> nn.Module:
        """The linear map of every token to a map of logits."""
        return self.classify

    def _make_classifier(self, num_classes: int) -> nn.Module:
        num_classes = check_whole("num_classes", num_classes, least=0)
        if not num_classes:
            return nn.Identity()
        return _Pointwise(self._channels, num_classes, bias=False)

    def _set_classifier(self, classifier: nn.Module) -> None:
        self.classify = classifier
