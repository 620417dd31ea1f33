"""The hierarchy of encodings: which symmetry each has, whatever its weights.

A property of the architecture, so measured on networks with random weights, on pixel tokens
(convolutional tokens carry information on positions), in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gsa_core import (
    build_model,
    invariance_error,
    point_group,
    rotate_image,
    shift_image,
)

Row = dict[str, Any]
POSITIONAL = ("none", "absolute", "relative")  # measured whatever the study has
IMAGES, CANVAS, CONTENT = 6, 16, 5.0  # images, pixels a side, radius of what is drawn on them
WINDOW, DEPTH, SHIFT = 5, 2, (2, -1)
# So wide that no token that sees the drawing has a window cut by the border.
WIDE_CANVAS = 2 * (int(CONTENT) + max(map(abs, SHIFT)) + (DEPTH + 1) * (WINDOW // 2))


def _permute(images: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(images[0, 0].numel(), generator=generator)
    return images.flatten(2)[..., order].reshape(images.shape)


TRANSFORMATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "permutation": _permute,
    "translation": lambda images, _: shift_image(images, *SHIFT),
    "quarter_turn": lambda images, _: rotate_image(images, 90),
    "mirror": lambda images, _: images.flip(-1),
    "turn_45": lambda images, _: rotate_image(images, 45),
}


def expected_symmetric(group: str, positional: str, transformation: str) -> bool:
    """Whether the logits are invariant, in theory.

    ``none`` is blind to every permutation of the pixels; ``absolute`` keeps the group about the
    image centre; ``relative`` and ``rotary`` add translations, ``radial`` all of O(2) too. A turn
    by 45 degrees interpolates: never exact.
    """
    if transformation == "turn_45":
        return False
    if positional == "none":
        return True
    if transformation in ("permutation", "translation"):
        return transformation == "translation" and positional != "absolute"
    if positional == "radial":
        return True
    symmetry = point_group(group)
    return symmetry.mirrors if transformation == "mirror" else symmetry.rotations % 4 == 0


def measure_hierarchy(
    groups: Iterable[str], seeds: Sequence[int], encodings: Iterable[str] = ()
) -> list[Row]:
    """Invariance errors of random networks under every transformation.

    Attention is global but for translations, which are measured with 5x5 windows on a canvas so
    wide that the border is never seen: on a bounded canvas global attention always sees it.

    Parameters
    ----------
    groups
        Names of groups.
    seeds
        One network a seed.
    encodings
        More of them than ``none``, ``absolute`` and ``relative``.

    Returns
    -------
    list of dict
        Rows ``group positional tokens seed transformation error expected_symmetric``.
    """
    return [
        {
            "group": group,
            "positional": positional,
            "tokens": "pixel",
            "seed": seed,
            "transformation": transformation,
            "error": _error(group, positional, transformation, seed),
            "expected_symmetric": expected_symmetric(group, positional, transformation),
        }
        for group in groups
        for positional in dict.fromkeys((*POSITIONAL, *encodings))
        for seed in seeds
        for transformation in TRANSFORMATIONS
    ]


@torch.no_grad()
def _error(group: str, positional: str, transformation: str, seed: int) -> float:
    """Invariance error of the logits of one random network."""
    shifted = transformation == "translation"
    canvas = WIDE_CANVAS if shifted else CANVAS
    generator = torch.Generator().manual_seed(seed)
    images = _smooth_images(canvas, generator)
    network = _random_network(group, positional, canvas, WINDOW if shifted else None, generator)
    moved = TRANSFORMATIONS[transformation](images, generator)
    return invariance_error(network(images), network(moved))


def _random_network(
    group: str, positional: str, canvas: int, window: int | None, generator: torch.Generator
) -> nn.Module:
    network = build_model(
        group=group,
        positional=positional,
        tokens="pixel",
        image_size=canvas,
        window=window,
        depth=DEPTH,
        channels=8,
    )
    for parameter in network.parameters():
        parameter.normal_(std=0.5, generator=generator)
    return network.double().eval()


def _smooth_images(canvas: int, generator: torch.Generator) -> Tensor:
    """Random smooth images ``(images, 1, canvas, canvas)`` inside a disc about the centre."""
    noise = torch.randn(IMAGES, 1, canvas, canvas, generator=generator, dtype=torch.float64)
    axis = torch.arange(canvas, dtype=torch.float64) - (canvas - 1) / 2
    blur = torch.exp(-0.5 * (axis[:, None] - axis[None, :]) ** 2)
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 <= CONTENT**2).double()
    return blur @ noise @ blur * inside
