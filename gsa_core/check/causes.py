"""Why a layer breaks a symmetry, where the cause is a known one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gsa_core.check.representations import IN_BATCH, relative_error
from gsa_core.groups import PointGroup, act_on_features, act_on_image

__all__ = ["causes_in_forward", "causes_of", "one_tensor"]


def causes_of(
    module: nn.Module, inputs: Tensor, how: str, group: PointGroup, tolerance: float
) -> list[str]:
    """Sentences about a layer that breaks the symmetry of an input that transforms as `how`."""
    found = [*_of_padding(module), *_of_stride(module, inputs), *_of_weights(module, group, how)]
    if how == "regular, another order":
        found.append(
            "the frames of its input are in another order than that of the group's elements: "
            "compare the permutation with `group.relative` (a one-hot or an index in a wrong order)"
        )
    elif how.startswith("regular") and _turns_the_other_way(module, inputs, how, group, tolerance):
        found.append(
            "its frames move as h -> s h instead of s^-1 h: weights or a one-hot are in the order "
            "of the inverse elements"
        )
    return found


def causes_in_forward(parent: nn.Module, layer: nn.Module, features: Tensor) -> list[str]:
    """Sentences about a symmetry that the code of a module's own ``forward`` breaks.

    `features` are the input of `layer`, the first thing in it that does not transform.
    """
    own = [*parent.named_parameters(recurse=False), *parent.named_buffers(recurse=False)]
    added = {name: _varies_along(parameter, features) for name, parameter in own}
    found = []
    for axis in ("position", "frame"):
        names = [name for name, along in added.items() if along == axis]
        if names:
            found.append(f"it may add {' or '.join(names)}, which has a value for each {axis}")
    if found:
        return found
    found = [
        "an operation between these layers depends on position or on the order of frames "
        "(padding, slicing, shifting), or gives a layout that this check does not know"
    ]
    if isinstance(layer, nn.Conv2d | nn.Conv3d) and max(layer.kernel_size[-2:]) > 1:
        found.append("if the layout is right, the kernel of this layer, which is not turned")
    return found


def _varies_along(parameter: Tensor, features: Tensor) -> str | None:
    """Whether a parameter that is added to features has values for positions, or for frames."""
    missing = features.ndim - parameter.ndim
    if missing < 0 or features.ndim < 3:
        return None
    shape = (1,) * missing + tuple(parameter.shape)
    if any(x not in (1, y) for x, y in zip(shape[1:], features.shape[1:], strict=True)):
        return None
    places = shape[-2:] if features.ndim > 3 else shape[1:2]  # tokens are (batch, tokens, channels)
    if max(places) > 1:
        return "position"
    return "frame" if features.ndim == 5 and shape[2] > 1 else None


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if isinstance(value, tuple | list) and len(value) == 2 and all(type(x) is int for x in value):
        return value[0], value[1]
    return None


def _of_padding(module: nn.Module) -> Iterator[str]:
    padding = getattr(module, "padding", None)
    one_sided = "padding on one side alone moves the centre: pad both sides alike"
    if isinstance(padding, tuple | list) and len(padding) == 4:
        left, right, top, bottom = padding
        if left != right or top != bottom:
            yield f"{one_sided} (got {tuple(padding)})"
    kernel = _pair(getattr(module, "kernel_size", None))
    if padding == "same" and kernel and any(side % 2 == 0 for side in kernel):
        yield f"{one_sided} (padding='same' with an even kernel, {kernel[0]}x{kernel[1]})"


def _of_stride(module: nn.Module, inputs: Tensor) -> Iterator[str]:
    kernel, stride, padding = (
        _pair(getattr(module, name, None)) for name in ("kernel_size", "stride", "padding")
    )
    dilation = _pair(getattr(module, "dilation", 1)) or (1, 1)
    if inputs.ndim < 4 or kernel is None or stride is None or padding is None:
        return
    for axis, size in enumerate(inputs.shape[-2:]):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        rest = (size + 2 * padding[axis] - reach) % stride[axis]
        if rest:
            yield (
                f"stride {stride[axis]} with a kernel of {kernel[axis]} and padding "
                f"{padding[axis]} on a side of {size} pixels leaves {rest} at one end: "
                "choose sizes for which side + 2 padding - kernel is a multiple of the stride"
            )
            return


def _of_weights(module: nn.Module, group: PointGroup, how: str) -> Iterator[str]:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        yield from _of_kernel(module, group, how)
    if isinstance(module, nn.Linear) and how == "flattened image":
        yield "a linear map of flattened positions: pool over positions before it"
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        yield "a layer norm over positions, with a scale and a shift for each position"


def _of_kernel(module: nn.Conv2d | nn.Conv3d, group: PointGroup, how: str) -> Iterator[str]:
    volume = isinstance(module, nn.Conv3d)
    of_frames = how == "regular" if volume else how.startswith(IN_BATCH)
    if not of_frames and (volume or how != "image"):
        return
    kernel = module.weight
    square = kernel.shape[-1] == kernel.shape[-2]
    moved = [act_on_image(group, s, kernel) for s in group.exact_elements] if square else []
    if moved and max(relative_error(x, kernel) for x in moved) < 1e-6:
        return
    if of_frames:
        yield "an ordinary convolution of frames, whose kernel is not turned: use GroupConv2d"
    elif _pair(module.stride) == _pair(module.kernel_size) != (1, 1):
        yield "each patch is flattened: its pixels have weights that are not turned"
    else:
        yield "an ordinary convolution, whose kernel is not turned: lift it to the group"


def _turns_the_other_way(
    module: nn.Module, inputs: Tensor, how: str, group: PointGroup, tolerance: float
) -> bool:
    """Whether a layer commutes with ``F(s^-1 p, s h)`` of its input, and perhaps of its output."""

    def usual(s: int, features: Tensor) -> Tensor:
        return act_on_features(group, s, features)

    def other(s: int, features: Tensor) -> Tensor:
        moved = usual(s, features)  # F(s^-1 p, s^-1 h)
        index = group.product[s][group.product[s]].to(features.device)  # h -> s s h
        return moved.index_select(-3, index)

    try:
        plain = one_tensor(module(inputs))
        moved = {
            s: one_tensor(module(_in_frames(other, how, group, s, inputs)))
            for s in group.exact_elements
        }
        if plain is None:
            return False
        return any(
            all(
                x is not None
                and relative_error(x, _in_frames(act, how, group, s, plain)) <= tolerance
                for s, x in moved.items()
            )
            for act in (other, usual)
        )
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return False  # it takes something else than one tensor, or has no such frames


def _in_frames(
    act: Callable[[int, Tensor], Tensor], how: str, group: PointGroup, s: int, x: Tensor
) -> Tensor:
    """An action on feature maps, on a tensor that has its frames as `how` says."""
    if how == "regular":
        return act(s, x)
    if how == "regular, |H| innermost":
        return act(s, x.unflatten(1, (-1, group.order))).flatten(1, 2)
    frames = x.unflatten(1, (group.order, -1)).transpose(1, 2)
    return act(s, frames).transpose(1, 2).flatten(1, 2)


def one_tensor(value: object) -> Tensor | None:
    """The first floating-point tensor of what a layer takes or gives."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    inner = getattr(value, "tensor", None)  # of a geometric tensor
    if isinstance(inner, Tensor):
        return inner
    items = value.values() if hasattr(value, "values") else value
    if isinstance(items, torch.Size | str | bytes) or not hasattr(items, "__iter__"):
        return None
    return next((x for item in items if (x := one_tensor(item)) is not None), None)
