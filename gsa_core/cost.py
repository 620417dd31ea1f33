"""What a configuration costs: parameters, FLOPs, memory, and the width that meets a budget."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gsa_core.attention.encodings.registry import POSITIONAL
from gsa_core.common.arguments import check_choice, check_sides, check_whole
from gsa_core.common.constants import constants_of
from gsa_core.models.build import MODELS, build_model
from gsa_core.models.published import PUBLISHED

__all__ = ["count_activations", "count_flops", "count_parameters", "solve_channels"]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters.

    Examples
    --------
    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_flops(model: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Floating-point operations of one image's forward pass, attention included.

    Matrix products and convolutions, two operations a multiply-add; elementwise work is not
    counted.

    Parameters
    ----------
    model
        A network or a layer of this package.
    image_shape
        ``(channels, height, width)``, or of a feature map ``(channels, |H|, height, width)``.

    Examples
    --------
    >>> count_flops(nn.Conv2d(1, 2, 3, padding=1), (1, 8, 8))  # 64 pixels, 9 x 2 products each
    2304
    """
    # On the meta device shapes are followed and nothing is computed. Attention is our operator
    # there, wherever the network runs; what of it is torch's is counted as matrix products.
    twin = copy.deepcopy(model).to("meta").eval()
    image = torch.zeros(1, *image_shape, dtype=next(twin.parameters()).dtype, device="meta")
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        twin(image)
    return counter.get_total_flops()


def count_activations(model: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Bytes that one image's forward pass keeps for its backward pass, in training.

    What autograd saves, each piece of memory once, parameters left out: the part of the peak that
    grows with the batch. Memory that kernels use and give back is not in it.

    Parameters
    ----------
    model
        A network or a layer of this package.
    image_shape
        ``(channels, height, width)``, or of a feature map ``(channels, |H|, height, width)``.

    Examples
    --------
    >>> count_activations(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), (1, 8, 8))
    768
    """
    parameter = next(model.parameters())
    # Two images, because some norms take no single one in training; half of what both keep.
    images = torch.zeros(2, *image_shape, dtype=parameter.dtype, device=parameter.device)
    owned = _storages(model)
    held: dict[int, int] = {}
    kept: list[Tensor] = []  # alive until the count is done, so that no address comes twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            held[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    twin = copy.deepcopy(model).train()  # statistics of norms are moved by a forward pass
    owned |= _storages(twin)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        twin(images)
    return sum(held.values()) // 2


def _storages(model: nn.Module) -> set[int]:
    """Addresses of what a model keeps with or without a pass."""
    kept = (*model.parameters(), *model.buffers(), *constants_of(model))
    return {tensor.untyped_storage().data_ptr() for tensor in kept}


def solve_channels(budget: int, *, of: str = "parameters", **arguments: Any) -> int:
    """Channels with which `build_model` comes closest to a number of parameters or FLOPs.

    Parameters
    ----------
    budget
        How many.
    of
        ``"parameters"``, or ``"flops"`` of one image's forward pass.
    **arguments
        Arguments of `build_model` other than ``channels``.

    Raises
    ------
    ValueError
        Where the narrowest network is already more than twice the budget, and for a model whose
        width is fixed.

    Examples
    --------
    >>> wide, narrow = (solve_channels(30_000, group=name) for name in ("C1", "D4"))
    >>> wide > narrow
    True
    """
    check_choice("of", of, ("parameters", "flops"))
    budget = check_whole("budget", budget)
    if arguments.pop("channels", None) is not None:
        raise ValueError("channels: got a width; accepts none, since it is what is solved for")

    model_name = arguments.get("model", "gsa")
    if model_name in PUBLISHED:
        raise ValueError(
            f"model: got {model_name!r}, whose width is that of the publication; accepts "
            + ", ".join(repr(name) for name in MODELS if name not in PUBLISHED)
        )

    def count(channels: int) -> int:
        with torch.random.fork_rng(devices=[]):  # counting leaves no trace in the generator
            model = build_model(**arguments, channels=channels)
        if of == "parameters":
            return count_parameters(model)
        height, width = check_sides("image_size", arguments.get("image_size", 28))
        return count_flops(model, (arguments.get("in_channels", 1), height, width))

    encoding = POSITIONAL.get(str(arguments.get("positional")))
    spare = encoding.least_head_dim - 1 if encoding else 0
    low = (arguments.get("num_heads") or 2) * spare + 1
    if count(low) > 2 * budget:
        raise ValueError(
            f"budget: got {budget}, but {low} channels already take {count(low)} {of}; accepts more"
        )
    high = 2 * low
    while count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < budget else (low, middle)
    return min((low, high), key=lambda channels: abs(count(channels) - budget))
