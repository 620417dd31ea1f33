"""A positional encoding as every frame of a trained network sees it: acted on by the group."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.attention.encodings.absolute import AbsoluteEncoding
from gsa_core.attention.encodings.relative import FrameOffsets
from pipeline.confirm.measures.map_rows import MAX_VALUES, map_rows

REACH = 3  # offsets shown to each side; a window or an image may allow fewer


@torch.no_grad()
def encoding_rows(model: nn.Module) -> list[dict[str, Any]]:
    """Values of the first positional encoding of a network, one map a frame.

    Of its channels the one that varies most is kept. An absolute encoding is shown over the
    tokens of the image, a relative or radial one over offsets from the query. ``[]`` for a network
    without either: rotary positions are angles, not a map.

    Returns
    -------
    list of dict
        Rows ``layer frame row col value``.
    """
    for name, module in model.named_modules():
        if isinstance(module, AbsoluteEncoding | FrameOffsets):
            maps = _absolute(module) if isinstance(module, AbsoluteEncoding) else _offsets(module)
            if maps is not None and maps[..., 0].numel() <= MAX_VALUES:
                return _rows(name, maps)
    return []


def _absolute(encoding: AbsoluteEncoding) -> Float[Tensor, "group height width channels"]:
    return encoding.values().permute(2, 0, 1, 3)


def _offsets(encoding: FrameOffsets) -> Float[Tensor, "group height width channels"] | None:
    """What the first head of every frame reads at every offset; without the group offset."""
    reach = min(REACH, getattr(encoding, "reach", REACH))
    tables = encoding((reach, reach))
    if tables.pairs is not None:
        return tables.pairs[..., 0, :]
    if tables.rows is None or tables.cols is None:
        return None
    return tables.rows[:, :, None, 0] + tables.cols[:, None, :, 0]


def _rows(layer: str, maps: Tensor) -> list[dict[str, Any]]:
    channel = int(maps[0].flatten(0, 1).var(0).argmax())
    return map_rows(maps[..., channel], layer=layer)
