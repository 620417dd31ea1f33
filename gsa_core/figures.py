"""Draw what a network sees of an image and of the image turned: features and attention.

Needs matplotlib, the extra `figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsa_core.attention.layers import GroupSelfAttention, LiftingSelfAttention
from gsa_core.common.arguments import check_shape, check_whole
from gsa_core.groups import act_on_image
from gsa_core.models.network import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attention_maps", "draw_turned"]

Attention = GroupSelfAttention | LiftingSelfAttention


def attention_maps(model: nn.Module, image: Tensor, layer: int = -1) -> Tensor:
    """Return the attention weights of a layer of a network, the mean of its heads.

    Parameters
    ----------
    model
        Any module with a `GroupSelfAttention` or a `LiftingSelfAttention` in it.
    image
        ``(batch, channels, height, width)``, what the module takes.
    layer
        Which of its attention layers, in the order of the module.

    Returns
    -------
    Tensor
        ``(batch, |H|, height, width, frames, height, width)``: frame and position of the query,
        then of the key; `frames` is 1 where a query attends to its frame alone. They sum to 1, in
        the form ``published`` to ``|H|``.

    Raises
    ------
    ValueError
        The module has no such layer.
    """
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    if not -len(layers) <= layer < len(layers):
        raise ValueError(
            f"layer: got {layer} of {type(model).__name__}, which has {len(layers)} attention "
            "layers; accepts the number of one of them"
        )
    seen: list[tuple[Any, ...]] = []
    handle = layers[layer].register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    try:
        with torch.no_grad():
            model(image)
            _, weights = layers[layer](*seen[-1], return_attention=True)
    finally:
        handle.remove()
    return weights.mean(1)


def draw_turned(model: Model, image: Tensor, element: int = 1, *, layer: int = -1) -> Figure:
    """Draw features and attention of an image and of the image moved by an element of the group.

    The first column is the image, the others are frames of the group. Features are the mean of the
    magnitudes of all channels of `forward_features`; attention is that of one query, which is
    marked in the image, to all positions, the sum over the frames of the key. With
    exact symmetry every map of the moved image is a moved map of the image, in another frame.

    Parameters
    ----------
    model
        A network of `build_model`; without attention layers over its group features alone are
        drawn.
    image
        ``(channels, height, width)``; one channel, or the first three as red, green and blue.
    element
        Of the group, by which the image is moved.
    layer
        Which attention layer, in the order of the network.

    Returns
    -------
    Figure
        Of matplotlib; ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        matplotlib is not installed: ``pip install 'gsa-core[figures]'``.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"model: got a {type(model).__name__}; accepts a network of build_model "
            "(attention_maps takes any module with attention layers of this library)"
        )
    check_shape("image", image, "channels", "height", "width")
    group = model.group
    element = check_whole("element", element, 0)
    if element >= group.order:
        raise ValueError(
            f"element: got {element} of {group.name}; accepts a number below {group.order}"
        )
    from matplotlib.figure import Figure

    has_attention = any(  # a plain transformer averaged over a group has no frames in it
        isinstance(module, Attention) and module.group.name == group.name
        for module in model.modules()
    )
    training = model.training
    rows: list[tuple[str, Tensor, Tensor, tuple[int, int] | None]] = []
    try:
        model.eval()
        for name, moved in (("", image), (" moved", act_on_image(group, element, image[None])[0])):
            rows.append((f"features{name}", moved, _features(model, moved), None))
        if has_attention:
            for name, moved, _, _ in rows[:2]:
                maps, query = _attention(model, moved, layer, element * (moved is not image))
                rows.append((name.replace("features", "attention"), moved, maps, query))
    finally:
        model.train(training)
    figure = Figure(figsize=(1.3 * (1 + group.order), 1.4 * len(rows)), layout="constrained")
    _fill(figure, rows)
    return figure


def _features(model: Model, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model.forward_features(image[None])[0].abs().mean(0).cpu()


def _attention(
    model: Model, image: Tensor, layer: int, element: int
) -> tuple[Tensor, tuple[int, int]]:
    """Maps of every frame of the query, and its position, which an element moves."""
    weights = attention_maps(model, image[None], layer)[0].sum(-3)  # over the key's frames
    height, width = weights.shape[1:3]
    mark = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mark[..., height // 2, width // 3] = 1  # off the centre, which no element moves
    place = int(act_on_image(model.group, element, mark).argmax())
    row, column = divmod(place, mark.shape[-1])
    return weights[:, row, column].cpu(), (row, column)


def _fill(figure: Figure, rows: list[tuple[str, Tensor, Tensor, tuple[int, int] | None]]) -> None:
    axes = figure.subplots(len(rows), 1 + len(rows[0][2]), squeeze=False)
    # Colours are those of the maps of the image; those of the moved image hold the same values.
    limits = {name: (float(maps.min()), float(maps.max())) for name, _, maps, _ in rows}
    for frame, place in enumerate(axes[0, 1:]):
        place.set_title(f"frame {frame}", fontsize="small")
    for line, (name, image, maps, query) in zip(axes, rows, strict=True):
        low, high = limits[name.split()[0]]
        line[0].imshow(_picture(image), cmap="gray")
        line[0].set_ylabel(name)
        if query is not None:  # the middle of the token, in pixels of the image
            scales = [
                side / tokens for side, tokens in zip(image.shape[1:], maps.shape[1:], strict=True)
            ]
            y, x = ((at + 0.5) * scale - 0.5 for at, scale in zip(query, scales, strict=True))
            line[0].plot(x, y, "s", color="tab:red", markersize=5, markeredgecolor="white")
        for place, values in zip(line[1:], maps, strict=True):
            place.imshow(values.numpy(), vmin=low, vmax=high, cmap="viridis")
    for place in axes.flat:
        place.set(xticks=[], yticks=[])


def _picture(image: Tensor) -> Any:
    shown = image.detach().cpu().double()[:3] if len(image) >= 3 else image.detach().cpu()[:1]
    low, high = shown.min(), shown.max()
    return ((shown - low) / (high - low).clamp_min(1e-12)).permute(1, 2, 0).squeeze(-1).numpy()
