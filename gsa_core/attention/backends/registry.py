"""The implementations of attention by the names that users have, and the choice between them.

All have one contract, ``attention(query, key, value, tables, tiling, *, scale) -> out``:

- ``query (batch, rows, cols, group, own, heads, d)``: of every frame g, several `own` to an image;
- ``key``, ``value (batch, rows, cols, sets, members, heads, d)``: keys of `members` frames h, in
  one set for the queries of all frames g, or in one for each; either may differ alone;
- ``tables``: what the positional encoding is worth at every offset up to the reaches of `tiling`,
  and how it rotates queries and keys;
- ``tiling``: the neighbourhood of every query;
- ``scale``: factor of the scores;
- ``out``: of the shape and type of `query`, equal between implementations to rounding.

``problem(device, dtype, width)`` says why one cannot take such queries now; empty if it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gsa_core.attention.backends import cpu, flex, reference, sdpa, triton_attention
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

__all__ = ["BACKENDS", "METHODS", "Backend", "choose_backend", "faster_method"]

_TORCH_FROM = 16  # channels a head
_TORCH_FROM_ON_SEVERAL_THREADS = {"rotary": 10, "others": 14}
_ON_GPU = "torch"


@dataclass(frozen=True)
class Backend:
    """An implementation of attention, and what it supports."""

    attention: Callable[..., Tensor]
    problem: Callable[[str, torch.dtype, int], str]


BACKENDS = {
    "kernel": Backend(cpu.attention, cpu.problem),
    "flex": Backend(flex.attention, flex.problem),
    "triton": Backend(triton_attention.attention, triton_attention.problem),
    "torch": Backend(sdpa.attention, sdpa.problem),
    "written_out": Backend(reference.attention, reference.problem),
}
METHODS = ("auto", *BACKENDS)


def choose_backend(method: str, query: Tensor, tables: OffsetTables, tiling: Tiling) -> Backend:
    """The implementation of a name; for ``auto`` the fastest, torch where that cannot be had.

    Raises
    ------
    ValueError
        Where the one that was named cannot take these queries.
    """
    device, dtype = query.device.type, query.dtype
    width = query.shape[-1]
    if tables.rotation is not None and tables.frames is not None:
        width += tables.frames.shape[2]  # the scores of group offsets are channels of their own
    name = method
    if method == "auto":
        name = faster_method(device, dtype, local=tiling.local, tables=tables, width=width)
    problem = BACKENDS[name].problem(device, dtype, width)
    if problem and method != "auto":
        raise ValueError(f"method: got {method!r}; {problem}")
    return BACKENDS["torch" if problem else name]


def faster_method(
    device: str,
    dtype: torch.dtype,
    *,
    local: bool,
    tables: OffsetTables,
    width: int,
) -> str:
    """The fastest of ``kernel``, ``flex`` and ``torch``, as far as they were measured.

    Torch's fused attention gains on the kernel as heads become wider, where it sees every key, and
    sooner on several threads.
    Tables that separate make its heads wider still, by an entry for every row, column and frame of
    the keys; others are scores that it must hold. Only float32 was measured; any other type keeps
    the kernel.

    Parameters
    ----------
    device, dtype
        Of the tokens.
    local
        Whether a query sees a window.
    tables
        The encoding.
    width
        Channels a head.
    """
    if device not in ("cpu", "meta"):
        return _ON_GPU
    if local or tables.pairs is not None or dtype != torch.float32:
        return "kernel"
    spatial = [x for x in (tables.rows, tables.cols) if x is not None]
    entries = sum((x.shape[1] + 1) // 2 for x in spatial)
    if spatial and tables.frames is not None:
        entries += tables.frames.shape[2]
    start = _TORCH_FROM
    if not _on_one_thread():
        start = _TORCH_FROM_ON_SEVERAL_THREADS[
            "rotary" if tables.rotation is not None else "others"
        ]
    return "torch" if width >= max(start, entries) else "kernel"


def _on_one_thread() -> bool:
    return torch.get_num_threads() == 1


# A compiler may take the answer for a constant: torch.compiler's assume_constant_result, whose
# import takes seconds.
_on_one_thread._dynamo_marked_constant = True  # type: ignore[attr-defined]
