"""Networks in the manners of torch, timm and escnn whose symmetry is known, for test_check.py."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gsa_core import LiftingConv2d, cyclic_group


def symmetric_convolution(in_channels, out_channels, size=3, **options):
    """An ordinary convolution whose kernel no quarter turn or mirror changes."""
    layer = nn.Conv2d(in_channels, out_channels, size, **options)
    with torch.no_grad():
        kernel = layer.weight + layer.weight.flip(-1)
        layer.weight.copy_(sum(kernel.rot90(k, (-2, -1)) for k in range(4)))
    return layer


def torch_invariant():
    """Symmetric kernels, pooling of positions, a linear map."""
    return nn.Sequential(
        symmetric_convolution(2, 4, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        symmetric_convolution(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5),
    )  # fmt: skip


def torch_plain():
    return nn.Sequential(symmetric_convolution(2, 4, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3))


def torch_one_sided():
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), symmetric_convolution(2, 4), nn.AdaptiveAvgPool2d(1)
    )


def torch_same_padding():
    return nn.Sequential(symmetric_convolution(2, 4, 2, padding="same"), nn.ReLU())


def torch_strided():
    return nn.Sequential(symmetric_convolution(2, 4, 3, padding=1, stride=2), nn.ReLU())


def torch_pooled():
    return nn.Sequential(symmetric_convolution(2, 4), nn.MaxPool2d(3, stride=2, padding=1))


def torch_flattened():
    return nn.Sequential(symmetric_convolution(2, 4), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


class TimmLike(nn.Module):
    """Patches, a class token, perhaps positions, attention over tokens, the class token's head."""

    def __init__(self, patches, positions=False):
        super().__init__()
        self.patch_embed = patches
        self.cls_token = nn.Parameter(torch.randn(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.randn(1, 17, 4)) if positions else None
        self.norm1 = nn.LayerNorm(4)
        self.attn = nn.MultiheadAttention(4, 2, batch_first=True)
        self.fc = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        x = x + self.fc(x)
        return self.head(x[:, 0])


def timm_patches():
    return TimmLike(nn.Conv2d(2, 4, 2, stride=2))


def timm_positions():
    return TimmLike(symmetric_convolution(2, 4, 2, stride=2), positions=True)


def timm_invariant():
    return TimmLike(symmetric_convolution(2, 4, 2, stride=2))


class GeometricTensor:
    """A tensor with its type, as escnn has it."""

    def __init__(self, tensor):
        self.tensor = tensor


class RegularConvolution(nn.Module):
    """Frames within the channels; `inverse` and `one_hot` are mistakes in their order."""

    def __init__(self, in_channels, out_channels, lift=False, inverse=False, one_hot=False):
        super().__init__()
        self.group, self.lift, self.inverse, self.one_hot = cyclic_group(4), lift, inverse, one_hot
        frames = 1 if lift else 4
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, frames, 3, 3))
        self.kernel_size, self.stride, self.padding = 3, 1, 1

    def bank(self):
        turned = []
        for h in range(4):
            frame = self.weight
            if not self.lift:
                order = self.group.relative[int(self.group.inverse[h]) if self.inverse else h]
                frame = frame[:, :, order]
            turned.append(frame.rot90(h, (-2, -1)))
        return torch.stack(turned, 1).flatten(0, 1).flatten(1, 2)  # (out |H|, in frames, 3, 3)

    def forward(self, x):
        out = functional.conv2d(x.tensor if hasattr(x, "tensor") else x, self.bank(), padding=1)
        if self.one_hot:  # a number for each frame, whatever the frames of the input
            out = out + torch.arange(4.0).to(out).repeat(out.shape[1] // 4)[:, None, None]
        return GeometricTensor(out)


class GroupPooling(nn.Module):
    def forward(self, x):
        return x.tensor.unflatten(1, (-1, 4)).amax(2)


def escnn_invariant():
    return nn.Sequential(
        RegularConvolution(2, 3, lift=True), RegularConvolution(3, 4), GroupPooling()
    )


def escnn_inverse():
    return nn.Sequential(
        RegularConvolution(2, 3, lift=True), RegularConvolution(3, 4, inverse=True), GroupPooling()
    )


class Shuffled(nn.Module):
    """Frames in an order of its own."""

    def forward(self, x):
        return GeometricTensor(x.tensor.unflatten(1, (-1, 4))[:, :, [0, 2, 1, 3]].flatten(1, 2))


def escnn_another_order():
    return nn.Sequential(
        RegularConvolution(2, 3, lift=True), Shuffled(), RegularConvolution(3, 4), GroupPooling()
    )


def escnn_one_hot():
    return nn.Sequential(RegularConvolution(2, 3, lift=True, one_hot=True), GroupPooling())


class ByFrame(nn.Module):
    """A convolution of every frame, between a lifting and a pooling; or a parameter is added."""

    def __init__(self, layer, fold="", own=None):
        super().__init__()
        self.lift = LiftingConv2d(cyclic_group(4), 2, 3, 3)
        self.fold, self.own, self.layer = fold, own, layer

    def forward(self, x):
        x = self.lift(x)
        if self.own is not None:
            x = x + self.own
        if not self.fold:
            return self.layer(x).mean((2, 3, 4))
        axis = {"inner": 1, "outer": 0}[self.fold]
        folded = x.movedim(2, axis)
        sizes = folded.shape[:2]
        return self.layer(folded.flatten(0, 1)).unflatten(0, sizes).mean((axis, -2, -1))


def own_folded_inner():
    return ByFrame(nn.Conv2d(3, 5, 3), "inner")


def own_folded_outer():
    return ByFrame(nn.Conv2d(3, 5, 3), "outer")


def own_volume():
    return ByFrame(nn.Conv3d(3, 5, (1, 3, 3)))


def own_values_of_frames():
    return ByFrame(nn.GELU(), own=nn.Parameter(torch.randn(1, 3, 4, 1, 1)))


def own_values_of_positions():
    return ByFrame(nn.GELU(), own=nn.Parameter(torch.randn(1, 3, 1, 8, 8)))


def own_folded_pointwise():
    return ByFrame(nn.Conv2d(3, 5, 1), "inner")


def failing():
    raise RuntimeError("no weights here")


def a_tensor():
    return torch.zeros(1)


number = 3
