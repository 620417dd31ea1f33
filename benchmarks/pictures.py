"""The pictures of docs/attention.md: what a frame sees, and how layers answer a turned input.

``python benchmarks/pictures.py`` draws all of them into docs/figures/; random weights, a digit of
scikit-learn, nothing trained.
"""

from __future__ import annotations

import argparse

import torch
from drawing import FRAMES, save
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from gsa_core import (
    GroupConv2d,
    GroupSelfAttention,
    LiftingConv2d,
    LiftingSelfAttention,
    PointGroup,
    act_on_features,
    act_on_image,
    cyclic_group,
    dihedral_group,
)
from gsa_core.attention.encodings.absolute import AbsoluteEncoding

MAP = "RdBu_r"


def show(axis: Axes, values: Tensor, title: str = "", colour: str = "#888888") -> None:
    """One map, zero in white, framed in the colour of its frame."""
    values = values.detach()
    most = values.abs().max().item() or 1.0
    axis.imshow(values, cmap=MAP, vmin=-most, vmax=most, interpolation="nearest")
    axis.set(xticks=[], yticks=[], title=title)
    for spine in axis.spines.values():
        spine.set(visible=True, color=colour, linewidth=2)


def smooth_noise(*shape: int, seed: int = 0) -> Tensor:
    """Random maps, blurred a little, so that the eye can follow them."""
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))
    kernel = torch.ones(shape[0], 1, 3, 3) / 9
    return functional.conv2d(noise, kernel, padding=1, groups=shape[0])[0]


def acted_encodings(group: PointGroup) -> None:
    """An absolute encoding ``a(h^-1 p)`` as every element of D4 sees it."""
    encoding = AbsoluteEncoding(group, 1, (9, 9))
    with torch.no_grad():
        encoding.table.copy_(smooth_noise(1, 9, 9, seed=2))
    figure, axes = plt.subplots(2, 4, figsize=(6.4, 3.5), layout="constrained")
    for h, axis in enumerate(axes.flat):
        show(axis, encoding.values()[:, :, h, 0], group.element_name(h), FRAMES[h])
    save(figure, "acted-encodings")


def lifted_kernels(group: PointGroup) -> None:
    """A lifting kernel turned by every frame, and the bank of a group convolution."""
    lift, mix = LiftingConv2d(group, 1, 1, 5), GroupConv2d(group, 1, 1, 5)
    with torch.no_grad():
        lift.weight.copy_(smooth_noise(1, 5, 5, seed=3)[None])
        mix.weight.copy_(smooth_noise(4, 5, 5, seed=4)[:, None, None])
    impulse = torch.zeros(1, 1, 5, 5)
    impulse[0, 0, 2, 2] = 1
    figure, axes = plt.subplots(5, 4, figsize=(4.6, 6), layout="constrained")
    # The response to a point is the kernel turned by 180 degrees.
    kernels = lift(impulse)[0, 0].detach() - lift.bias.detach()
    for h in range(group.order):
        show(axes[0, h], kernels[h].flip(-1, -2), f"lifting, {group.element_name(h)}", FRAMES[h])
    for g in range(group.order):
        points = torch.zeros(1, 1, group.order, 5, 5)
        points[0, 0, g, 2, 2] = 1
        kernels = mix(points)[0, 0].detach() - mix.bias.detach()
        for h in range(group.order):
            names = f"{group.element_name(h)} from {group.element_name(g)}"
            offset = int(group.relative[h, g])
            show(axes[1 + h, g], kernels[h].flip(-1, -2), names, FRAMES[offset])
    save(figure, "lifted-kernels")


def responses(group: PointGroup) -> None:
    """Feature maps of a digit and of the same digit turned: turned maps, frames shifted."""
    torch.manual_seed(1)
    options = {"positional": "relative", "window": 5}
    layers = {
        "lifting": LiftingSelfAttention(group, 1, 4, 2, **options),
        "group, joint": GroupSelfAttention(group, 4, 4, 2, **options),
        "group, framewise": GroupSelfAttention(group, 4, 4, 2, form="framewise", **options),
    }
    digit = torch.tensor(load_digits().images[7], dtype=torch.float32)[None, None] / 16
    upright = functional.interpolate(digit, size=16, mode="bilinear")
    turned = act_on_image(group, 1, upright)
    columns = 1 + group.order
    figure, axes = plt.subplots(6, columns, figsize=(6.4, 7.6), layout="constrained")
    x, y = upright, turned
    for row, (name, layer) in enumerate(layers.items()):
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.9)
        x, y = layer(x).detach(), layer(y).detach()
        for line, maps in enumerate((x, y)):
            maps = maps - maps.mean(2, keepdim=True)  # what the frames do not have in common
            for h in range(group.order):
                # A map is framed in the colour of the upright map that it is, turned.
                origin = int(group.relative[1, h]) if line else h
                title = f"frame {group.element_name(h)}"
                show(axes[2 * row + line, 1 + h], maps[0, 0, h], title, FRAMES[origin])
        error = (y - act_on_features(group, 1, x)).abs().max() / y.abs().max()
        axes[2 * row, 0].set_ylabel(f"{name}\nupright")
        axes[2 * row + 1, 0].set_ylabel(f"{name}\nturned")
        print(f"{name}: largest difference from turn and shift {error:.0e}")
    for row in range(6):
        show(axes[row, 0], (turned if row % 2 else upright)[0, 0], "input" if row < 2 else "")
    save(figure, "responses")


def main() -> None:
    """Draw every picture."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    acted_encodings(dihedral_group(4))
    lifted_kernels(cyclic_group(4))
    responses(cyclic_group(4))


if __name__ == "__main__":
    main()
