"""Groups to try, and networks whose every parameter is random."""

from __future__ import annotations

import torch
from torch import nn

EXACT_GROUPS = ("C1", "C2", "C4", "D1", "D2", "D4")  # every element keeps the grid
PARTLY_EXACT_GROUPS = ("C8", "D8")  # their quarter turns and mirrors do
GROUPS = EXACT_GROUPS + PARTLY_EXACT_GROUPS


def sized(options, image_size):
    """With `image_size` where a layer of these options has a use for it and is given none."""
    positional = options.get("positional", "relative")
    alone = positional != "none" and options.get("window") is None
    if positional == "absolute" or alone:
        return {"image_size": image_size, **options}
    return options


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 and evaluation mode, every parameter and statistic drawn at random.

    Encodings that start near zero would pass any test of symmetry.
    """
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7, generator=generator)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=generator)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
    return module
