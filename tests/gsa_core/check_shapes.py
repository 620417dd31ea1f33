"""Train a step of networks of `test_running`, by name, while stated shapes are checked.

Run in a process of its own: the check is hooked in before gsa_core is imported.
"""

from __future__ import annotations

import sys

from jaxtyping import TypeCheckError, install_import_hook

install_import_hook("gsa_core", "shapes.checked")

import torch  # noqa: E402
from running_cases import network  # noqa: E402

from gsa_core import ChannelNorm, build_model, check_equivariance  # noqa: E402


def main() -> None:
    """Print the networks that passed."""
    torch.set_num_threads(1)
    for name in sys.argv[1:]:
        model, images = network(name, shallow=True)
        model.train()(images).square().sum().backward()
        print(name)
    for name in ("symmetrized", "canonical", "gcnn"):
        model = build_model(model=name, image_size=8, channels=4)
        model(torch.randn(2, 1, 8, 8)).square().sum().backward()
    check_equivariance(
        build_model(image_size=8, channels=8, depth=1), torch.randn(1, 1, 8, 8), "C4"
    )
    try:
        ChannelNorm(2)(torch.zeros(1, 2, 4, 5, 5, dtype=torch.long))
    except TypeCheckError:
        print("a wrong type is noticed")


if __name__ == "__main__":
    main()
