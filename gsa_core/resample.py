"""Turn and shift images, which lets in what lies outside of them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gsa_core.common.arguments import check_choice, check_number, check_shape, check_whole

__all__ = ["rotate_image", "shift_image"]


def rotate_image(
    image: Float[Tensor, "batch channels height width"],
    degrees: float | Tensor,
    outside: float | str = 0,
) -> Float[Tensor, "batch channels height_ width_"]:
    """Turn images about their centre: ``f(R(t)^-1 p)``, bilinear, zeros from outside.

    Parameters
    ----------
    image
        Images ``(batch, channels, height, width)``.
    degrees
        One angle, or one an image ``(batch,)``, in the sense of ``torch.rot90``. Multiples of 90
        given as one number are exact permutations of the pixels.
    outside
        The value of what comes from outside, or ``edge``: that of the nearest pixel.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> rotate_image(image, 90)
    tensor([[[[2., 4.],
              [1., 3.]]]])
    """
    check_shape("image", image, "batch", "channels", "height", "width")
    value = _outside(outside)
    if isinstance(degrees, Tensor):
        if degrees.shape not in ((), image.shape[:1]):
            raise ValueError(
                f"degrees: got {tuple(degrees.shape)}; accepts one angle, or one an image "
                f"({len(image)},)"
            )
        degrees = degrees.expand(len(image))
    else:
        accepts = "a number, or a tensor of one an image"
        degrees = check_number("degrees", degrees, accepts, low=-math.inf, high=math.inf)
        quarters, rest = divmod(degrees, 90)
        if rest == 0:
            return torch.rot90(image, int(quarters), (-2, -1))
        degrees = torch.full((len(image),), float(degrees), dtype=torch.float64)
    angle = degrees.to(torch.float64) * math.pi / 180
    height, width = image.shape[-2:]
    rows, cols = (
        torch.arange(n, dtype=torch.float64, device=angle.device) - (n - 1) / 2
        for n in (height, width)
    )
    row, col = rows[None, :, None], cols[None, None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    source_row, source_col = cos * row + sin * col, cos * col - sin * row  # R(t)^-1 p
    grid = torch.stack([2 / width * source_col, 2 / height * source_row], -1).to(image)
    if isinstance(value, str):
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    moved = functional.grid_sample(
        image - value if value else image, grid, padding_mode="zeros", align_corners=False
    )
    return moved + value if value else moved


def shift_image(
    image: Float[Tensor, "*batch height width"], rows: int, cols: int, outside: float | str = 0
) -> Float[Tensor, "*batch height width"]:
    """Move images by whole pixels, down and to the right, with zeros from outside.

    ``outside`` is as for `rotate_image`.

    Examples
    --------
    >>> shift_image(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, 0)
    tensor([[0., 0.],
            [1., 2.]])
    """
    rows, cols = check_whole("rows", rows, least=None), check_whole("cols", cols, least=None)
    height, width = image.shape[-2:]
    value = _outside(outside)
    if isinstance(value, str):
        down, right = (
            (torch.arange(n, device=image.device) - by).clamp(0, n - 1)
            for n, by in ((height, rows), (width, cols))
        )
        return image[..., down[:, None], right]
    padded = functional.pad(
        image,
        (max(cols, 0), max(-cols, 0), max(rows, 0), max(-rows, 0)),
        value=value,
    )
    top, left = max(-rows, 0), max(-cols, 0)
    return padded[..., top : top + height, left : left + width]


def _outside(value: object) -> float | str:
    if isinstance(value, str):
        check_choice("outside", value, ("edge",))
        return value
    return check_number("outside", value, "a number, or 'edge'", low=-math.inf, high=math.inf)
