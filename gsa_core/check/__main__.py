"""``python -m gsa_core.check module:factory --group D4 --input 2,3,64,64``.

Exit codes: 0 equivariant, 1 not, 2 a mistake in the command or a network that cannot be run,
3 not decided.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import torch
from torch import nn

from gsa_core.check.measure import check_equivariance
from gsa_core.check.report import SymmetryReport

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Print the symmetry of a network, layer by layer."""
    parser = argparse.ArgumentParser(prog="python -m gsa_core.check", description=__doc__)
    parser.add_argument("network", help="module:factory, a function or class without arguments")
    parser.add_argument("--group", default="D4", help="C4, D4, D1, ... (default: D4)")
    parser.add_argument(
        "--input",
        default="2,3,64,64",
        help="batch,channels,height,width (default: 2,3,64,64); of a layer that takes feature "
        "maps batch,channels,|H|,height,width",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="largest relative error (default: 1e-11, and not decided up to 1e-6)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and image (default: 0)")
    asked = parser.parse_args(arguments)
    try:
        torch.manual_seed(asked.seed)
        image = torch.rand(_shape(asked.input), dtype=torch.float64)
        network = _network(asked.network)
        report = _checked(network, image, asked)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    if not report.decided:
        return 3
    return 0 if report.equivariant else 1


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if len(sizes) not in (4, 5) or not all(x.strip().isdecimal() and int(x) > 0 for x in sizes):
        raise ValueError(
            f"--input: got {text!r}; accepts batch,channels,height,width: 2,3,64,64, or of feature "
            "maps batch,channels,|H|,height,width: 2,8,4,16,16"
        )
    return tuple(map(int, sizes))


def _network(text: str) -> nn.Module:
    """What the named factory returns; nothing else is called."""
    place, _, name = text.partition(":")
    if not place or not name:
        raise ValueError(f"network: got {text!r}; accepts module:factory, as my_models:build")
    try:
        module = importlib.import_module(place)
    except Exception as error:
        raise ValueError(
            f"network: {place!r} cannot be imported ({type(error).__name__}: {error}); accepts a "
            "module of the current folder or an installed one"
        ) from None
    factory = getattr(module, name, None)
    if factory is None:
        raise ValueError(f"network: {place!r} has no {name!r}; accepts a factory of this module")
    if not callable(factory):
        raise ValueError(f"network: {text!r} is a {type(factory).__name__}; accepts a function")
    try:
        network = factory if isinstance(factory, nn.Module) else factory()
    except Exception as error:
        raise ValueError(
            f"network: {text!r} failed ({type(error).__name__}: {error}); accepts a factory "
            "without arguments"
        ) from None
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"network: {text!r} returned a {type(network).__name__}; accepts a torch.nn.Module"
        )
    return network


def _checked(network: nn.Module, image: torch.Tensor, asked: argparse.Namespace) -> SymmetryReport:
    try:
        return check_equivariance(network, image, asked.group, tolerance=asked.tolerance)
    except ValueError:
        raise
    except Exception as error:
        shape = "x".join(map(str, image.shape))
        first = str(error).partition("\n")[0]
        raise ValueError(
            f"--input: the network failed on {shape} ({type(error).__name__}: {first}); accepts a "
            "shape that it takes"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
