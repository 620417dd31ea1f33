"""Two views of one tensor: feature maps for users, tokens for the arithmetic.

Feature maps are ``(batch, channels, |H|, height, width)``. Inside a layer the same numbers are
tokens ``(batch, height, width, |H|, channels)``, so that a linear map over channels, or over
channels and frames, is one matrix product. Both functions only permute axes: as long as every
layer ends as it began, a network keeps its activations in token order and nothing is copied.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["to_features", "to_tokens"]


def to_tokens(
    features: Float[Tensor, "batch channels group height width"],
) -> Float[Tensor, "batch height width group channels"]:
    """View a feature map as tokens."""
    return features.permute(0, 3, 4, 2, 1)


def to_features(
    tokens: Float[Tensor, "batch height width group channels"],
) -> Float[Tensor, "batch channels group height width"]:
    """View tokens as a feature map."""
    return tokens.permute(0, 4, 3, 1, 2)
