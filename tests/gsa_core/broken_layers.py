"""Mistakes of authors of transformers on feature maps, for test_check_causes.py."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gsa_core import GroupConv2d, dihedral_group

GROUP = dihedral_group(4)
CHANNELS, SIDE = 3, 5
FOLDED = CHANNELS * GROUP.order


class In(nn.Module):
    """A layer that is given another layout of a feature map."""

    def __init__(self, there, back, layer):
        super().__init__()
        self.there, self.back, self.layer = there, back, layer

    def forward(self, x):
        return self.back(self.layer(self.there(x)), x.shape)


class Code(nn.Module):
    """A function of feature maps."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Added(nn.Module):
    """A parameter of that shape is added."""

    def __init__(self, *shape):
        super().__init__()
        self.own = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return x + self.own


class Embedded(nn.Module):
    """An embedding of frames is added."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(GROUP.order, CHANNELS)

    def forward(self, x):
        return x + self.embed(torch.arange(GROUP.order)).T[:, :, None, None]


class PositionedBlock(nn.Module):
    """Positions are added before a norm of channels, which come last."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(CHANNELS, 1, SIDE, SIDE))
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, x):
        return self.norm((x + self.positions).movedim(1, -1)).movedim(-1, 1)


class ShiftedBlock(nn.Module):
    """A shift between two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GroupConv2d(GROUP, CHANNELS, CHANNELS, 3), nn.GELU()

    def forward(self, x):
        return self.second(self.first(x).roll(1, -1))


def as_channels(layer):
    """Channels and frames as channels of an image."""
    return In(lambda x: x.flatten(1, 2), lambda y, s: y.unflatten(1, s[1:3]), layer)


def as_features(layer):
    """Channels and frames as features of tokens (batch, height, width, channels |H|)."""
    return In(
        lambda x: x.permute(0, 3, 4, 1, 2).flatten(3),
        lambda y, s: y.unflatten(3, s[1:3]).permute(0, 3, 4, 1, 2),
        layer,
    )


def last(layer, *axes):
    """A layer of other last axes."""
    there = tuple(range(-len(axes), 0))
    return In(lambda x: x.movedim(axes, there), lambda y, s: y.movedim(there, axes), layer)


def in_order(index):
    return Code(lambda x: x[:, :, index])


OWN = "it uses own, which "
POSITION, FRAME = "has a value for each position", "has a value for each frame"
PLACE, ORDER = "depends on the position in the image", "depends on the order of frames"
ANOTHER = "gives the frames in another order"

BROKEN = {
    "values of positions": (lambda: Added(CHANNELS, 1, SIDE, SIDE), OWN + POSITION),
    "one channel": (lambda: Added(1, CHANNELS, 1, SIDE, SIDE), OWN + POSITION),
    "values of frames": (lambda: Added(CHANNELS, GROUP.order, 1, 1), OWN + FRAME),
    "an embedding": (Embedded, "it uses embed.weight, which " + FRAME),
    "before a norm": (PositionedBlock, "it uses positions, which " + POSITION),
    "linear of frames": (lambda: last(nn.Linear(8, 8), 2), "use GroupLinear"),
    "linear of features": (lambda: as_features(nn.Linear(FOLDED, FOLDED)), "use GroupLinear"),
    "1x1": (lambda: as_channels(nn.Conv2d(FOLDED, FOLDED, 1)), "which mixes the frames"),
    "3x3": (lambda: as_channels(nn.Conv2d(FOLDED, FOLDED, 3, padding=1)), "use GroupConv2d"),
    "depthwise": (
        lambda: as_channels(nn.Conv2d(FOLDED, FOLDED, 3, padding=1, groups=FOLDED)),
        "weights of its own for each frame",
    ),
    "volume": (lambda: nn.Conv3d(3, 3, (3, 1, 1), padding=(1, 0, 0)), "which mixes the frames"),
    "norm of frames": (lambda: last(nn.LayerNorm(8), 2), "for each frame: use ChannelNorm"),
    "norm of rows": (lambda: last(nn.LayerNorm(SIDE), 4), "one of the two axes of positions"),
    "norm of positions": (lambda: last(nn.LayerNorm((SIDE, SIDE)), 3, 4), "for each position"),
    "batch norm": (lambda: as_channels(nn.BatchNorm2d(FOLDED)), "use ChannelNorm"),
    "pool of frames": (lambda: nn.AvgPool3d((3, 1, 1), 1, (1, 0, 0)), "by GroupPool"),
    "roll": (lambda: Code(lambda x: x.roll(1, -1)), PLACE),
    "flip": (lambda: Code(lambda x: x.flip(-1)), PLACE),
    "crop": (lambda: Code(lambda x: x[..., :-1, :-1]), PLACE),
    "pad": (lambda: Code(lambda x: functional.pad(x, (0, 1, 0, 1))), PLACE),
    "transpose": (lambda: Code(lambda x: x.mT), PLACE),
    "one frame": (lambda: Code(lambda x: x[:, :, :1].expand_as(x)), ORDER),
    "roll of frames": (lambda: Code(lambda x: x.roll(1, 2)), ANOTHER),
    "flip of frames": (lambda: Code(lambda x: x.flip(2)), ANOTHER),
    "product": (lambda: in_order(GROUP.product[1]), ANOTHER),
    "inverse": (lambda: in_order(GROUP.inverse), "in the order of the inverse elements"),
    "between": (ShiftedBlock, "an operation after 0.first (GroupConv2d), the last whose output"),
}  # fmt: skip


class Attended(nn.Module):
    """Ordinary attention over all frames and positions."""

    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(CHANNELS, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        y = self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return y.transpose(1, 2).reshape(x.shape)


RIGHT = {
    "attention": Attended,
    "group norm": lambda: nn.GroupNorm(3, CHANNELS),
    "instance norm": lambda: nn.InstanceNorm3d(CHANNELS, affine=True),
    "batch norm": lambda: nn.BatchNorm3d(CHANNELS),
    "right products": lambda: in_order(GROUP.product[:, 5]),
    "volume 1x1": lambda: nn.Conv3d(CHANNELS, 4, 1),
    "centred": lambda: Code(lambda x: x - x.mean((-2, -1), keepdim=True)),
}
LAYOUTS = {
    "b h w (c |H|)": as_features(nn.GELU()),
    "b (h w) (|H| c)": In(
        lambda x: x.permute(0, 3, 4, 2, 1).flatten(3).flatten(1, 2),
        lambda y, s: y.reshape(s[0], s[3], s[4], s[2], s[1]).permute(0, 4, 3, 1, 2),
        nn.GELU(),
    ),
    "b (|H| h w) c": In(
        lambda x: x.movedim(1, -1).flatten(1, 3),
        lambda y, s: y.reshape(s[0], *s[2:], s[1]).movedim(-1, 1),
        nn.GELU(),
    ),
    "(b h w) |H| c": In(
        lambda x: x.permute(0, 3, 4, 2, 1).flatten(0, 2),
        lambda y, s: y.reshape(s[0], s[3], s[4], s[2], s[1]).permute(0, 4, 3, 1, 2),
        nn.GELU(),
    ),
}
