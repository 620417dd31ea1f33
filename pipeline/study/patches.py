"""How many pixels of an image become one token."""

from __future__ import annotations

from pipeline.study.models import PATCHED
from pipeline.study.sweep_schema import Architecture

__all__ = ["STEMS", "own_patch_size", "patch_sizes", "token_grid"]

STEMS = (2, 4, 8, 16)  # pixels to a token of a stem, along each side
_DEFAULT = {"pixel": 1, "stem": 2, "trunk": 4, "patch": 4}


def token_grid(image_size: int, tokens: str, patch_size: int | None = None) -> int:
    """Tokens along one side of an image, rounded up."""
    pixels = patch_size if patch_size and tokens in PATCHED else _DEFAULT[tokens]
    return -(-image_size // pixels)


def patch_sizes(tokens: str, image_size: int) -> tuple[int, ...]:
    """Patch sizes that suit an image: patches tile it symmetrically, stems halve its grid."""
    if tokens == "stem":
        return STEMS
    return tuple(size for size in range(1, min(image_size, 32) + 1) if not -image_size % size % 2)


def own_patch_size(architecture: Architecture, tokens: str, image_size: int) -> int | None:
    """Patch size of these tokens of such an image; None is their default, or for tokens without
    patches.

    With ``max_tokens`` it is the smallest that leaves at most so many tokens, and the largest where
    none does.
    """
    most = architecture.max_tokens
    if tokens not in PATCHED:
        return None
    if most is None:
        return architecture.patch_size
    sizes = patch_sizes(tokens, image_size)
    return next((p for p in sizes if token_grid(image_size, tokens, p) ** 2 <= most), sizes[-1])
