"""Why a layer of torch breaks a symmetry, judged by its type and the layout of its input."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

from gsa_core.check.representations import Representation, relative_error
from gsa_core.groups import PointGroup, act_on_image

__all__ = ["causes_of"]


def causes_of(
    module: nn.Module, inputs: Tensor, how: Representation, group: PointGroup
) -> list[str]:
    """Sentences about a layer that breaks the symmetry of an input that transforms as `how`."""
    found = [*_of_padding(module), *_of_stride(module, inputs)]
    if isinstance(module, nn.Linear) and how.name == "flattened image":
        found.append("a linear map of flattened positions: pool over positions before it")
    mixed = [*_of_axes(module, inputs.ndim, how)]
    found += mixed
    if isinstance(module, nn.Conv2d | nn.Conv3d) and not mixed:
        found += _of_kernel(module, group, how)
    return found


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


def _of_axes(module: nn.Module, axes: int, how: Representation) -> Iterator[str]:
    """About a layer that acts on frames or positions as on ordinary channels or features."""
    layout = how.layout or ("c",) * axes
    last = layout[-1]
    if isinstance(module, nn.Linear):
        if "g" in last:
            yield "an ordinary linear map, which mixes the frames: use GroupLinear"
        elif last in ("h", "w"):
            yield "a linear map along one of the two axes of positions: map the channels"
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        yield from _of_layer_norm(layout[-len(module.normalized_shape) :])
    elif isinstance(module, _ConvNd):
        sides = zip(module.kernel_size, layout[2:], strict=False)
        if "g" in layout[1] or any(side > 1 and "g" in axis for side, axis in sides):
            alone = module.groups == module.in_channels > 1
            does = "has weights of its own for each frame" if alone else "mixes the frames"
            yield f"an ordinary convolution, which {does}: use GroupConv2d or GroupLinear"
    elif isinstance(module, _BatchNorm | _InstanceNorm | nn.GroupNorm):
        if "g" in layout[1]:
            yield "a norm with weights or statistics of its own for each frame: use ChannelNorm"
    elif isinstance(module, _AvgPoolNd | _MaxPoolNd):
        if _pools_neighbours(module.kernel_size, layout[2:]):
            yield "it pools frames that are neighbours: pool all of them, by GroupPool"
    elif type(module).__module__.startswith("torch.nn.") and {"cg", "gc"} & {layout[1], last}:
        yield "its channels hold the frames of a feature map, and it mixes them"


def _pools_neighbours(kernel: object, places: tuple[str, ...]) -> bool:
    """Whether a kernel extends along frames."""
    sides = kernel if isinstance(kernel, tuple | list) else (kernel,) * len(places)
    return any(side > 1 and "g" in axis for side, axis in zip(sides, places, strict=False))


def _of_layer_norm(normalised: tuple[str, ...]) -> Iterator[str]:
    letters = "".join(normalised)
    if "g" in letters:
        yield "a layer norm with a scale and a shift for each frame: use ChannelNorm"
    if "h" in letters and "w" in letters:
        yield "a layer norm over positions, with a scale and a shift for each position"
    elif "h" in letters or "w" in letters:
        yield "a layer norm over one of the two axes of positions: use ChannelNorm"


def _of_kernel(
    module: nn.Conv2d | nn.Conv3d, group: PointGroup, how: Representation
) -> Iterator[str]:
    if how.layout[-2:] != ("h", "w"):
        return
    kernel = module.weight
    square = kernel.shape[-1] == kernel.shape[-2]
    moved = [act_on_image(group, s, kernel) for s in group.exact_elements] if square else []
    if moved and max(relative_error(x, kernel) for x in moved) < 1e-6:
        return
    if how.regular:
        yield "an ordinary convolution of frames, whose kernel is not turned: use GroupConv2d"
    elif _pair(module.stride) == _pair(module.kernel_size) != (1, 1):
        yield "each patch is flattened: its pixels have weights that are not turned"
    else:
        yield "an ordinary convolution, whose kernel is not turned: lift it to the group"
