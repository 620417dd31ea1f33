"""What turning a kernel costs in accuracy, by angle: ``python benchmarks/kernels.py``.

Random kernels respond, at their centre, to plane waves of 4 to 12 pixels. Kernel and wave are
turned by the same angle, the wave exactly, so that all responses should be equal. Printed is the
norm of their difference over the norm of the response, of each basis and size of kernel.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from gsa_core import cyclic_group
from gsa_core.nn.kernel_basis import KERNEL_BASES, basis_size, kernel_sampling

KERNELS, WAVES = 64, 200


def response_error(basis: str, size: int, order: int = 16) -> list[float]:
    """Relative error of the response, of each element of a cyclic group."""
    group, draw = cyclic_group(order), torch.Generator().manual_seed(0)
    real: dict[str, Any] = {"generator": draw, "dtype": torch.float64}
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    pixels = torch.cartesian_prod(axis, axis)
    angle, length = 2 * math.pi * torch.rand(WAVES, **real), 4 + 8 * torch.rand(WAVES, **real)
    vector = torch.stack([angle.cos(), angle.sin()], 1) * (2 * math.pi / length)[:, None]
    phase = 2 * math.pi * torch.rand(WAVES, **real)
    weights = torch.randn(KERNELS, basis_size(basis, size), **real)
    kernels = torch.einsum("huv,ov->hou", kernel_sampling(group, size, basis), weights)
    turned = torch.einsum("hab,ub->hua", group.matrices[group.inverse], pixels)
    waves = torch.cos(torch.einsum("hua,na->hun", turned, vector) + phase)
    responses = kernels @ waves
    error = (responses - responses[0]).norm(dim=(1, 2)) / responses[0].norm()
    return [float(one) for one in error]


def main() -> None:
    """Print the table."""
    print("| kernel | basis | weights | 22.5 degrees | 45 degrees | 67.5 degrees | 90 degrees |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for size in (3, 5, 7, 9):
        for basis in KERNEL_BASES:
            *errors, exact = response_error(basis, size)[1:5]
            cells = " | ".join(f"{100 * error:.1f} %" for error in errors)
            weights = basis_size(basis, size)
            print(f"| {size}x{size} | {basis} | {weights} | {cells} | {exact:.0e} |")


if __name__ == "__main__":
    main()
