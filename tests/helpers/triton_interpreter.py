"""Triton's interpreter, which runs kernels on a processor, a thousand times slower than a GPU.

Triton decides when it is imported whether its functions are interpreted, so that the tests run in
a process of their own: `TRITON_INTERPRET=1 python -m pytest tests/gsa_core/test_triton.py`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MISSING = "without a GPU it needs TRITON_INTERPRET=1 from the start, and the extra `triton`"
INSTALLED = importlib.util.find_spec("triton") is not None and (
    DEVICE == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
)


@contextmanager
def patched_once() -> Iterator[None]:
    """Patch the language for a kernel, and not again for each of the functions that it calls.

    That takes half of the interpreter's time.
    """
    if DEVICE == "cuda" or not INSTALLED:
        yield
        return
    import triton.language as tl
    from triton.runtime import interpreter

    patch = interpreter._patch_lang
    active: list[Any] = []

    def patched(function: Any) -> Any:
        if active:
            return None
        active.extend([patch(tl.zeros.fn), patch(function)])
        restore = active[1].restore

        def both() -> None:
            restore()
            active[0].restore()
            active.clear()

        active[1].restore = both
        return active[1]

    interpreter._patch_lang = patched
    try:
        yield
    finally:
        interpreter._patch_lang = patch
