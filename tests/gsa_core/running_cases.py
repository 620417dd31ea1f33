"""Networks that between them run every path of the attention."""

from __future__ import annotations

import torch

from gsa_core import build_model

CONFIGURATIONS = {
    "framewise on a stem": {},
    "joint in windows": {"tokens": "pixel", "form": "joint", "window": 3},
    "rotary on patches": {"tokens": "patch", "positional": "rotary"},
    "continuous": {"group": "C8", "form": "joint", "window": 3, "window_shape": "soft_disc"},
    "published": {"form": "published", "tokens": "patch", "window": 3},
    "plain": {"model": "vit"},
    "convolutional": {"model": "hybrid"},
    "staged": {"model": "staged", "channels": 4},
}


def network(name, shallow=False):
    """A network and three images; a shallow one has each kind of layer once."""
    torch.manual_seed(0)
    options = {"image_size": 8, "channels": 8, **CONFIGURATIONS[name]}
    if shallow and options.get("tokens") != "pixel":
        options["depth"] = 1
    return build_model(**options), torch.randn(3, 1, *2 * [options["image_size"]])
