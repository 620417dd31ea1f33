"""Feature maps of one image at four turns: the rows of the figure of equivariance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gsa_core import point_group
from pipeline.confirm.measures.map_rows import MAX_VALUES, map_rows


@torch.no_grad()
def feature_rows(model: nn.Module, image: Tensor, group: str) -> list[dict[str, Any]]:
    """Values of the input, of the first feature map with frames and of the last, at four turns.

    Of each feature map the channel that varies most on the upright image is kept. Frame ``h``
    of a network of the group; ``[]`` for a network without frames.

    Parameters
    ----------
    model
        A trained network in evaluation mode.
    image
        One image ``(1, channels, height, width)``.
    group
        Name of the network's group.

    Returns
    -------
    list of dict
        Rows ``layer layer_index turn frame row col value``; turn counts quarter turns.
    """
    order = point_group(group).order
    device = next(model.parameters()).device
    turns = [_maps(model, torch.rot90(image, k, (-2, -1)).to(device)) for k in range(4)]
    framed = [name for name, x in turns[0].items() if x.ndim == 5 and x.shape[2] == order > 1]
    if not framed or image.shape[-1] != image.shape[-2]:
        return []
    names = list(turns[0])
    rows = _rows("input", -1, [torch.rot90(image[0].mean(0), k)[None] for k in range(4)])
    for name in dict.fromkeys([framed[0], framed[-1]]):
        maps = [turn[name][0] for turn in turns]  # (channels, |H|, height, width)
        if maps[0][0].numel() > MAX_VALUES:
            continue
        channel = int(maps[0].flatten(1).var(1).argmax())
        rows += _rows(name, names.index(name), [part[channel] for part in maps])
    return rows


def _maps(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    found = {}
    for name, layer in model.layers().items():  # type: ignore[operator]
        found[name] = x = layer(x)
    return found


def _rows(layer: str, index: int, turns: list[Tensor]) -> list[dict[str, Any]]:
    """One row a value of maps ``(frames, height, width)``."""
    return [
        row for turn, maps in enumerate(turns)
        for row in map_rows(maps, layer=layer, layer_index=index, turn=turn)
    ]  # fmt: skip
