"""What the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

torch.set_num_threads(1)  # these tensors are too small to share


@pytest.fixture
def noise() -> Callable[..., torch.Tensor]:
    """Random float64 tensors of a shape, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
