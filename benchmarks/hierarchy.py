"""Which layer keeps which transformation, measured: the table of docs/hierarchy.md.

``python benchmarks/hierarchy.py > docs/hierarchy.md``. Random weights, float64. Shifts and exact
elements move pixels; errors are relative L2 over all pixels whose windows lie in the image. Turns
by 45 degrees are measured on analytic fields that are sampled on the turned grid, so that no image
is resampled, at the fixed centre pixel, over the spread between fields.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor, nn

from gsa_core import (
    GroupConv2d,
    GroupSelfAttention,
    LiftingConv2d,
    LiftingSelfAttention,
    act_on_features,
    act_on_image,
    dihedral_group,
    point_group,
    shift_image,
)

SIZE, WINDOW, CHANNELS, HEADS = 25, 7, 8, 2
MARGIN = 2 * (WINDOW // 2) + 2  # two windows and a shift
INNER = (..., slice(MARGIN, SIZE - MARGIN), slice(MARGIN, SIZE - MARGIN))
FIELDS, WAVES, SMOOTH = 8, 64, 2.0
CANVAS = 2 * (2 * (WINDOW // 2)) + 1  # what the centre pixel sees through two windows

LAYERS = {
    "attention, none": {"positional": "none"},
    "attention, absolute": {"positional": "absolute"},
    "attention, relative table": {},
    "attention, relative function": {"encoding": "continuous"},
    "attention, radial": {"positional": "radial"},
    "attention, rotary": {"positional": "rotary"},
    "attention, published form": {"form": "published"},
}


def network(group_name: str, **options: object) -> nn.Module:
    """A lifting and a group layer with random weights; without options, convolutions."""
    group = point_group(group_name)
    torch.manual_seed(0)
    if not options:
        layers = [LiftingConv2d(group, 2, CHANNELS, 5), GroupConv2d(group, CHANNELS, 4, 5)]
    else:
        form = options.pop("form", "joint")
        options = {"window": WINDOW, **options}
        if options.get("positional") == "absolute":
            options["image_size"] = SIZE
        layers = [
            LiftingSelfAttention(group, 2, CHANNELS, HEADS, **options),
            GroupSelfAttention(group, CHANNELS, 4, HEADS, form=form, **options),
        ]
    module = nn.Sequential(*layers).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def smooth_fields(turn: float, size: int = CANVAS) -> Tensor:
    """Random plane waves ``(fields, 2, size, size)``, smooth over `SMOOTH` pixels, turned."""
    generator = torch.Generator().manual_seed(3)
    options = {"generator": generator, "dtype": torch.float64}
    waves = torch.randn(FIELDS, 2, WAVES, 2, **options) / SMOOTH
    phases = 2 * math.pi * torch.rand(FIELDS, 2, WAVES, **options)
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    row, col = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = math.cos(turn), math.sin(turn)
    back = torch.stack([cos * row + sin * col, cos * col - sin * row], -1)  # R(turn)^-1 p
    angle = torch.einsum("fcwa,ija->fcijw", waves, back) + phases[:, :, None, None]
    return angle.cos().sum(-1) * (2 / WAVES) ** 0.5


@torch.no_grad()
def error_at_45_degrees(model: nn.Module, group_name: str) -> float:
    """Error at the centre pixel, over the spread between fields."""
    group, centre = point_group(group_name), CANVAS // 2
    upright, turned = (
        torch.cat([model(field)[..., centre, centre] for field in smooth_fields(turn).split(2)])
        for turn in (0, math.pi / 4)
    )
    if 45 * group.rotations % 360 == 0:  # the turn belongs to the group: its frames move too
        upright = upright[:, :, group.relative[group.rotations // 8]]
    spread = (upright - upright.mean(0)).square().mean().sqrt()
    return ((turned - upright).square().mean().sqrt() / spread).item()


@torch.no_grad()
def errors(model: nn.Module, group_name: str) -> dict[str, float]:
    """Relative errors under a shift, the quarter turn and the mirror."""
    group, square = point_group(group_name), dihedral_group(4)
    image = smooth_fields(0, SIZE)[:2] + 0.2 * torch.randn(2, 2, SIZE, SIZE, dtype=torch.float64)
    out = model(image)
    own = {tuple(m.flatten().tolist()): i for i, m in enumerate(group.matrices)}
    result = {}
    for name, element in (("quarter turn", 1), ("mirror", 4)):
        index = own.get(tuple(square.matrices[element].flatten().tolist()))
        expected = (
            act_on_image(square, element, out)
            if index is None
            else act_on_features(group, index, out)
        )
        moved = model(act_on_image(square, element, image))
        result[name] = ((moved - expected).norm() / out.norm()).item()
    expected, moved = shift_image(out, 1, -2)[INNER], model(shift_image(image, 1, -2))[INNER]
    result["shift"] = ((moved - expected).norm() / expected.norm()).item()
    return result


def main() -> None:
    """Print the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("# Equivariance errors of single layers\n")
    print(
        "This page shows which layers are equivariant under shifts, quarter turns, mirrors and\n"
        "turns by 45 degrees. Use it to choose a positional encoding, a group and a window shape.\n"
        "\n"
        "The table has the relative error of a lifting and a group layer with random weights in\n"
        "float64: 1e-15 is exact, 1 means unrelated outputs. "
        f"Windows have {WINDOW} pixels, images {SIZE}x{SIZE}.\n"
        "If a transformation is not in the group, it is applied to space alone, and the error\n"
        "need not be zero. `python benchmarks/hierarchy.py > docs/hierarchy.md` writes this page.\n"
    )
    print("| layer | group | shift | quarter turn | mirror |")
    print("|---|---|---:|---:|---:|")
    for group in ("C1", "C4", "D4"):
        for name, options in {**LAYERS, "convolution": {}}.items():
            row = errors(network(group, **options), group)
            cells = (f"{row[key]:.0e}" for key in ("shift", "quarter turn", "mirror"))
            print(f"| {name} | {group} |", " | ".join(cells), "|", flush=True)
    print(
        "\n## Turns by 45 degrees\n\n"
        "Error under a turn by 45 degrees on smooth images (sums of plane waves, smoothed over\n"
        f"{SMOOTH:g} pixels), at the centre pixel, relative to the spread between images. "
        "The turn is an\n"
        "element of C8 and D8, but not of C4.\n"
    )
    print("| layer | window | C4 | C8 | D8 |")
    print("|---|---|---:|---:|---:|")
    for positional in ("relative", "radial", "rotary"):
        for shape in ("square", "disc", "soft_disc"):
            row = []
            for group in ("C4", "C8", "D8"):
                options = {"positional": positional, "window_shape": shape}
                if positional != "rotary":
                    options["encoding"] = "continuous"
                model = network(group, **options)
                row.append(f"{100 * error_at_45_degrees(model, group):.2f} %")
            print(f"| attention, {positional} | {shape} |", " | ".join(row), "|", flush=True)
    print(
        "\nThe column of C4 shows how much an encoding depends on direction. With a square or a\n"
        "disc, keys enter and leave the window as the pixel grid turns; the weights of the soft\n"
        "disc fall to zero at its border, so this effect vanishes. The error of `relative` that\n"
        "remains comes from fine detail of the learned function."
    )


if __name__ == "__main__":
    main()
