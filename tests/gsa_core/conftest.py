"""What the tests of the layers share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fake_compiler import Machine

from gsa_core import GroupSelfAttention, cyclic_group
from gsa_core.attention.backends import kernel_calls


@pytest.fixture
def noise() -> Callable[..., torch.Tensor]:
    """Random float64 tensors of a shape, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="session")
def built_kernel() -> Path:
    """The file of the kernel in float64, as the compiler at hand builds it."""
    library = kernel_calls.library_of(torch.float64, 5)
    if isinstance(library, str):
        pytest.skip(library)
    return Path(library._name)


@pytest.fixture
def machine(
    tmp_path: Path, built_kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """A machine with a compiler that copies `built_kernel`, and with empty folders."""
    yield Machine(tmp_path, built_kernel, monkeypatch)
    kernel_calls.library_of.cache_clear()


@pytest.fixture
def forward(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> Callable[[], tuple[object, list[str]]]:
    """The kernel, or why there is none, and the warnings of two forward passes that are right."""

    def result() -> tuple[object, list[str]]:
        layer = GroupSelfAttention(cyclic_group(4), 2, 2, 1, window=3).double()
        x = torch.ones(1, 2, 4, 5, 5, dtype=torch.float64).cumsum(-1)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            out = layer(x)
            kernel_calls.library_of.cache_clear()  # as for another width of a head
            assert torch.equal(layer(x), out)
        layer.method = "torch"
        assert torch.allclose(out, layer(x), rtol=1e-12)
        return kernel_calls.library_of(torch.float64, 2), [
            record.message for record in caplog.records
        ]

    return result
