"""A group convolutional network in stages that widen, with attention after them or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_number, check_odd, check_shape, check_whole
from gsa_core.groups import PointGroup
from gsa_core.models.network import Model, make_classifier
from gsa_core.models.transformer import Standardise, attention_blocks
from gsa_core.nn.convolution import GroupConv2d, LiftingConv2d
from gsa_core.nn.embed import Stage
from gsa_core.nn.pool import SymmetricMaxPool2d

__all__ = ["StagedNetwork"]


class MaxHead(nn.Module):
    """Maximum over frames and positions, then two linear maps: logits invariant under H.

    Batch norm, dropout, a linear map, batch norm, GELU, dropout, and the linear map to classes.

    Parameters
    ----------
    channels, hidden, num_classes
        Widths before, between and after the linear maps.
    dropout
        Probability of dropping a feature before either linear map, in training.
    """

    def __init__(self, channels: int, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.num_features, self.hidden_size = channels, hidden
        self.dropout = check_number(
            "head_dropout", dropout, "a number 0 <= p < 1", low=0, high=1 - 1e-9
        )
        self.norm = FeatureNorm(channels)
        self.hidden = nn.Linear(channels, hidden)
        self.hidden_norm = FeatureNorm(hidden)
        self.classify = make_classifier(hidden, num_classes)

    def pool(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch hidden"]:
        """Everything but the last linear map: invariant features ``(batch, hidden)``."""
        channels = self.hidden.in_features
        check_shape("features", features, "batch", channels, "|H|", "height", "width")
        x = self._drop(self.norm(features.amax((2, 3, 4))))
        return self._drop(functional.gelu(self.hidden_norm(self.hidden(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, channels, |H|, height, width)`` to ``(batch, classes)``."""
        return self.classify(self.pool(features))


class FeatureNorm(nn.BatchNorm1d):
    """Batch norm of features. One image alone has no variance: running statistics norm it."""

    def forward(self, x: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        """Normalise, shape kept."""
        if self.training and len(x) == 1:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class StagedNetwork(Model):
    """Group convolutions in stages that widen, attention blocks on their tokens, a late maximum.

    A lifting convolution (5x5) and three group convolutions (3x3), ``channels`` times 1, 3/2,
    3/2 and 2 wide, batch norm and GELU after each and a `SymmetricMaxPool2d` after the first and
    the third; attention blocks, where they are asked for, on a quarter of the rows and columns;
    `MaxHead`.

    Parameters
    ----------
    group
        The point group H; logits are invariant under its elements that keep the pixel grid.
    image_size
        ``(height, width)`` in pixels; without attention any image is taken.
    channels
        Channels a frame of the first stage.
    head_dropout
        Probability of dropping a feature before a linear map of the head.
    kernel_size
        Pixels a side of the lifting convolution, odd; the others have two fewer, 1 at least.
    basis
        Of all kernels, as in `LiftingConv2d`.
    in_channels, num_classes, mean, std
        As in `build_model`.
    **attention
        Of the attention blocks, all that `attention_blocks` takes; nothing for none.
    """

    def __init__(
        self,
        group: PointGroup,
        *,
        in_channels: int,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
        head_dropout: float,
        kernel_size: int,
        basis: str,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        **attention: Any,
    ) -> None:
        super().__init__()
        channels = check_whole("channels", channels)
        self.group = group
        self.standardise = Standardise(mean, std, in_channels)
        self.stages = _stages(group, in_channels, channels, kernel_size, basis)
        self.position, self.blocks = None, nn.ModuleList()
        if attention:
            rows, cols = (-(-side // 4) for side in image_size)
            self.position, self.blocks = attention_blocks(
                group, 2 * channels, (rows, cols), lifted=True, **attention
            )
        self.standardise.image_size = None if self.position is None else image_size
        self.head = MaxHead(2 * channels, 4 * channels, num_classes, head_dropout)

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name."""
        named: dict[str, nn.Module] = {"standardise": self.standardise}
        named |= {f"stage {i + 1}": stage for i, stage in enumerate(self.stages)}
        if self.position is not None:
            named["position"] = self.position
        named |= {f"block {i + 1}": block for i, block in enumerate(self.blocks)}
        return named | {"head": self.head}


def _stages(
    group: PointGroup, in_channels: int, channels: int, kernel_size: int, basis: str
) -> nn.ModuleList:
    """From an image to tokens of twice the channels on a quarter of the grid."""
    check_odd("kernel_size", kernel_size)
    inner = max(1, kernel_size - 2)
    middle = max(1, round(1.5 * channels))
    lift = LiftingConv2d(group, in_channels, channels, kernel_size, bias=False, basis=basis)
    stages: list[nn.Module] = [Stage(lift, channels, pool=True)]
    for before, after in ((channels, middle), (middle, middle), (middle, 2 * channels)):
        convolution = GroupConv2d(group, before, after, inner, bias=False, basis=basis)
        stages.append(Stage(convolution, after, pool=False))
    stages[2] = nn.Sequential(stages[2], SymmetricMaxPool2d())
    return nn.ModuleList(stages)
