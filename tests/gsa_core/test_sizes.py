"""No images, images without pixels, and elongated images: right, refused, and cheap."""

from __future__ import annotations

import pytest
import torch
from cases import sized
from torch.utils._python_dispatch import TorchDispatchMode

from gsa_core import (
    Block,
    ChannelNorm,
    FeedForward,
    GlobalPool,
    GroupConv2d,
    GroupPool,
    GroupSelfAttention,
    LiftingConv2d,
    LiftingSelfAttention,
    PatchEmbedding,
    SymmetricMaxPool2d,
    build_model,
    point_group,
)
from gsa_core.attention.backends.cpu import problem as kernel_problem
from gsa_core.attention.encodings.registry import POSITIONAL
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.models.build import MODELS
from gsa_core.nn.norm import BatchNorm

C4 = point_group("C4")
METHODS = (
    pytest.param(
        "kernel",
        marks=pytest.mark.skipif(
            bool(kernel_problem("cpu", torch.float32, 2)), reason="no kernel can be built here"
        ),
    ),
    "torch",
    "written_out",
)
WINDOWS = ({}, {"window": 3}, {"window": 3, "window_shape": "soft_disc"})
LAYERS = {
    "attention": GroupSelfAttention(C4, 2, 2, 1),
    "attention in windows": GroupSelfAttention(C4, 2, 2, 1, window=3),
    "lifting attention": LiftingSelfAttention(C4, 2, 2, 1),
    "convolution": GroupConv2d(C4, 2, 3, 3),
    "lifting convolution": LiftingConv2d(C4, 2, 3, 3),
    "patches": PatchEmbedding(C4, 2, 3, 2),
    "norm": ChannelNorm(2),
    "batch norm": BatchNorm(2),
    "feed-forward": FeedForward(2),
    "block": Block(GroupSelfAttention(C4, 2, 2, 1), 2),
    "halving": SymmetricMaxPool2d(),
    "mean over frames": GroupPool(),
    "maximum over frames": GroupPool("max"),
    "mean over positions": GlobalPool(),
}
OF_IMAGES = ("lifting attention", "lifting convolution", "patches", "mean over positions")


def gradients_of_nothing(module, *shape):
    """The result of no images, after a backward pass in which all gradients are zero."""
    x = torch.zeros(0, *shape, requires_grad=True)
    out = module(x)
    out.sum().backward()
    assert out.shape[0] == 0
    assert x.grad.shape == x.shape
    assert not any(p.grad.any() for p in module.parameters() if p.grad is not None)
    return out


@pytest.mark.sampled(45)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("positional", POSITIONAL)
@pytest.mark.parametrize("kind", ["lifting", "joint", "framewise", "published"])
def test_attention_takes_no_images(kind, positional, window, method):
    options = sized({"positional": positional, "method": method, **window}, 5)
    if kind == "lifting":
        layer, frames = LiftingSelfAttention(C4, 2, 4, 2, **options), ()
    else:
        layer, frames = GroupSelfAttention(C4, 2, 4, 2, form=kind, **options), (4,)
    assert gradients_of_nothing(layer, 2, *frames, 5, 5).shape == (0, 4, 4, 5, 5)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_no_images(name):
    gradients_of_nothing(LAYERS[name], 2, *(() if name in OF_IMAGES else (4,)), 6, 6)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("published")])
def test_networks_take_no_images(name, train):
    options = {} if name == "gcnn" else {"image_size": 8}
    model = build_model(name, channels=4, **options).train(train)
    assert gradients_of_nothing(model, 1, 8, 8).shape == (0, 10)
    assert all(buffer.isfinite().all() for buffer in model.buffers() if buffer.is_floating_point())


@pytest.mark.parametrize("sides", [(0, 6), (6, 0)])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_refuse_images_without_pixels(name, sides):
    frames = () if name in OF_IMAGES else (4,)
    side = "height" if sides[0] == 0 else "width"
    with pytest.raises(ValueError, match=rf"got \(1, 2,.*\); accepts .* with a {side} of at least"):
        LAYERS[name](torch.zeros(1, 2, *frames, *sides))


@pytest.mark.parametrize("shape", [(1, 0, 4, 6, 6), (1, 2, 0, 6, 6)])
@pytest.mark.parametrize("name", ["halving", "mean over frames"])
def test_layers_of_any_width_refuse_a_width_of_0(name, shape):
    with pytest.raises(ValueError, match="of at least 1"):
        LAYERS[name](torch.zeros(shape))


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that an operator makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        found = [x for x in torch.utils._pytree.tree_leaves(result) if torch.is_tensor(x)]
        self.elements = max(self.elements, *(x.numel() for x in found), 0)
        return result


def largest(layer, rows, cols):
    x = torch.zeros(1, 2, layer.group.order, rows, cols, requires_grad=True)
    with Largest() as seen:
        layer(x).sum().backward()
    return seen.elements


@pytest.mark.skipif(
    bool(kernel_problem("cpu", torch.float32, 2)), reason="with torch scores are in memory"
)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "continuous"},
        {"positional": "radial"},
        {"encoding": "published", "image_size": 64, "head_dim": 6},
        {"encoding": "continuous", "window": 5},
    ],
    ids=str,
)
def test_memory_is_linear_for_elongated_images(options, turned):
    """Twice the pixels along the long side, at most twice the numbers."""
    layer = GroupSelfAttention(point_group("C8"), 2, 2, 1, **options)
    sizes = [(2, 32), (2, 64)]
    if turned:
        sizes = [size[::-1] for size in sizes]
    small, large = (largest(layer, *size) for size in sizes)
    assert large <= 2.1 * small


@pytest.mark.parametrize(
    ("window", "reaches"), [(None, (3, 255)), (9, (3, 4)), (3, (1, 1)), (999, (3, 255))]
)
def test_an_encoding_is_evaluated_to_the_reach_of_each_axis(window, reaches):
    layer = GroupSelfAttention(point_group("C8"), 2, 4, 1, encoding="continuous", window=window)
    tiling = Tiling(4, 256, window)
    assert tiling.reaches == reaches
    pairs = layer.relative(tiling.reaches).pairs
    assert pairs.shape[1:3] == (2 * reaches[0] + 1, 2 * reaches[1] + 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("options", [{"encoding": "continuous"}, {"encoding": "auto"}], ids=str)
def test_an_elongated_image_is_the_square_turned(options, window, method):
    """The same numbers along either side: a quarter turn of image and output."""
    options = sized({"window": window, "method": method, **options}, (2, 9))
    layer = LiftingSelfAttention(C4, 1, 4, 1, **options).double()
    image = torch.randn(1, 1, 2, 9, dtype=torch.float64)
    turned = torch.rot90(image, 1, (-2, -1))
    expected = torch.rot90(layer(image), 1, (-2, -1)).roll(1, 2)
    assert torch.allclose(layer(turned), expected, atol=1e-12)
