"""Measures of symmetry: how far a layer is from equivariant, a network from invariant.

Measure layers, not only logits: averaging hides a broken layer. Begin with the elements that keep
the pixel grid (quarter turns, mirrors), where the image is moved without interpolation; at other
angles the measure includes the resampling of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.arguments import check_shape, check_tensor, check_whole
from gsa_core.groups import PointGroup, act, act_on_image, point_group
from gsa_core.resample import rotate_image

__all__ = [
    "assert_equivariant",
    "check_changes",
    "equivariance_error",
    "full_turn",
    "invariance_error",
    "layer_errors",
    "logit_distance",
    "logit_spread",
    "prediction_consistency",
]

Action = Callable[[PointGroup, int, Tensor], Tensor]


@torch.no_grad()
def equivariance_error(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    group: PointGroup | str,
    element: int,
    action: Action = act,
) -> float:
    """Relative L2 error ``|Phi(L_s f) - L_s Phi(f)| / |Phi(f)|``.

    Parameters
    ----------
    function
        Any callable from images, feature maps or vectors to one of these.
    x
        Its input ``f``, a batch.
    group, element
        The group or its name, and the transformation ``s``, which must keep the pixel grid.
    action
        How ``s`` acts on input and output; by default as `gsa_core.groups.act` does, judging by
        the number of axes.

    Returns
    -------
    float
        0 is equivariant; rounding is about 1e-15 in float64 and 1e-7 to 1e-6 in float32; two
        unrelated outputs are at about 1.4.

    Examples
    --------
    >>> from gsa_core import LiftingConv2d, cyclic_group
    >>> group = cyclic_group(4)
    >>> layer = LiftingConv2d(group, 1, 2, 3).double()
    >>> equivariance_error(layer, torch.randn(1, 1, 5, 5, dtype=torch.float64), group, 1) < 1e-12
    True
    """
    group = point_group(group)
    return _relative(function(action(group, element, x)), action(group, element, function(x)))


def _relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def assert_equivariant(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    group: PointGroup | str,
    elements: Iterable[int] | None = None,
    tolerance: float | None = None,
) -> None:
    """Raise ``AssertionError`` unless `function` commutes with the action of `elements`.

    Use float64 and random values of every parameter (``nn.init.normal_(parameter, std=0.5)``). At
    initial weights near zero, a broken network may pass in float32: one that shifts pixels within a
    block has passed at 1e-5. For a module, `check_equivariance` names the layer that breaks.

    Parameters
    ----------
    function, x, group
        As in `equivariance_error`; every element but the identity must change `x`.
    elements
        By default every element that keeps the pixel grid.
    tolerance
        Largest relative L2 error; by default 1e-12 in float64, 1e-5 otherwise.

    Examples
    --------
    >>> from gsa_core import LiftingSelfAttention, cyclic_group
    >>> layer = LiftingSelfAttention(cyclic_group(4), 1, 8, num_heads=2, window=3).double()
    >>> assert_equivariant(layer, torch.rand(2, 1, 9, 9, dtype=torch.float64), cyclic_group(4))
    """
    if tolerance is None:
        tolerance = 1e-12 if x.dtype == torch.float64 else 1e-5
    group = point_group(group)
    chosen = list(group.exact_elements if elements is None else elements)
    if not chosen:
        raise ValueError("elements: got none; accepts one element of the group or more")
    check_tensor("x", x)
    check_changes("x", x, group, chosen)
    for element in chosen:
        error = equivariance_error(function, x, group, element)
        if not error <= tolerance:  # NaN fails too
            raise AssertionError(
                f"not equivariant under {group.element_name(element)} of {group.name}: relative "
                f"error {error:.1e}, tolerance {tolerance:.0e}{_hint(function, x, tolerance)}"
            )


@torch.no_grad()
def _hint(function: Callable[[Tensor], Tensor], x: Tensor, tolerance: float) -> str:
    """What to look at where a function is not equivariant."""
    if _relative(function(x), function(x)) > tolerance:
        return "; it gives another result for the same x: dropout, which eval() ends, or noise?"
    if isinstance(function, nn.Module) and x.ndim > 2:
        return "; check_equivariance names the layer"
    return ""


def check_changes(name: str, x: Tensor, group: PointGroup, elements: Iterable[int]) -> None:
    """Images or feature maps of finite values that each element but the identity changes.

    Vectors are what nothing changes.
    """
    random = f"torch.rand({', '.join(map(str, x.shape))})"
    if not x.isfinite().all():
        raise ValueError(
            f"{name}: got values that are NaN or infinite; accepts finite ones, such as {random}"
        )
    for element in elements if x.ndim > 2 else ():
        if element != 0 and torch.equal(act(group, element, x), x):
            raise ValueError(
                f"{name}: got one that {group.element_name(element)} of {group.name} does not "
                "change, which tests nothing; accepts one that every element changes, such as "
                f"{random}"
            )


@torch.no_grad()
def layer_errors(
    layers: Mapping[str, Callable[[Tensor], Tensor]],
    image: Float[Tensor, "batch channels height width"],
    group: PointGroup | str,
    elements: Iterable[int],
) -> dict[tuple[str, int], float]:
    """Equivariance error of every layer alone, on the features that reach it.

    Parameters
    ----------
    layers
        Layers that are applied one after another, by name.
    image
        Images ``(batch, channels, height, width)``.
    group, elements
        The transformations. Where a feature map has one frame, as those of an unsymmetric
        network, space alone is moved.

    Returns
    -------
    dict
        Relative L2 error by ``(layer, element)``.

    Examples
    --------
    >>> from gsa_core import LiftingSelfAttention, cyclic_group
    >>> layers = {"lift": LiftingSelfAttention(cyclic_group(4), 1, 8, num_heads=2, window=3)}
    >>> errors = layer_errors(layers, torch.rand(2, 1, 9, 9), cyclic_group(4), [1])
    >>> errors["lift", 1] < 1e-5
    True
    """
    group = point_group(group)
    errors, x = {}, image
    for name, layer in layers.items():
        y = layer(x)
        for element in elements:
            moved = layer(_act_on_any(group, element, x))
            errors[name, element] = _relative(moved, _act_on_any(group, element, y))
        x = y
    return errors


def _act_on_any(group: PointGroup, element: int, tensor: Tensor) -> Tensor:
    if tensor.ndim == 5 and tensor.shape[2] == 1:
        return act_on_image(group, element, tensor)
    return act(group, element, tensor)


def logit_distance(logits: Tensor, moved: Tensor) -> float:
    """Mean over images of ``|z(L_s x) - z(x)|``."""
    check_shape("moved", moved, *logits.shape)
    return (moved - logits).norm(dim=-1).mean().item()


def logit_spread(logits: Float[Tensor, "images classes"]) -> float:
    """Mean of ``|z(x) - z(x')|`` over pairs of different images."""
    if len(logits) < 2:
        raise ValueError(f"logits: got {len(logits)} image; accepts 2 or more, for their spread")
    # not by the dot-product shortcut, which loses half the digits
    distances = torch.cdist(logits, logits, compute_mode="donot_use_mm_for_euclid_dist")
    return (distances.sum() / (len(logits) * (len(logits) - 1))).item()


def invariance_error(logits: Float[Tensor, "images classes"], moved: Tensor) -> float:
    """Invariance error of logits, ``mean |z(L_s x) - z(x)| / mean |z(x) - z(x')|``.

    The denominator runs over pairs of different images: 0 is invariant, 1 is "as different as
    another image". Dividing by ``|z|`` instead would hide broken layers behind a common offset.

    Parameters
    ----------
    logits, moved
        Logits ``(images, classes)`` of images and of the same images moved.

    Examples
    --------
    >>> z = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> invariance_error(z, z), invariance_error(z, z.flip(0))
    (0.0, 1.0)
    """
    return logit_distance(logits, moved) / max(logit_spread(logits), 1e-300)


def prediction_consistency(logits: Float[Tensor, "images classes"], moved: Tensor) -> float:
    """Fraction of images whose predicted class is unchanged.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> prediction_consistency(logits, torch.tensor([[0.0, 2.0], [0.0, 1.0]]))
    0.5
    """
    check_shape("logits", logits, "images", "classes")
    check_shape("moved", moved, *logits.shape)
    return (logits.argmax(-1) == moved.argmax(-1)).double().mean().item()


@torch.no_grad()
def full_turn(
    function: Callable[[Tensor], Tensor],
    image: Float[Tensor, "batch channels height width"],
    steps: int = 24,
) -> list[dict[str, float]]:
    """Invariance error and prediction consistency of logits along a full turn.

    Right angles move pixels exactly; between them the image is resampled, and what is measured is
    the network and the resampler together.

    Parameters
    ----------
    function
        From images ``(batch, channels, height, width)`` to logits ``(batch, classes)``.
    image
        Two images or more.
    steps
        Angles of the turn, evenly spaced from 0.

    Returns
    -------
    list of dict
        ``degrees``, ``invariance_error`` and ``consistency`` at every angle.

    Examples
    --------
    >>> from gsa_core import build_model
    >>> rows = full_turn(build_model(image_size=8).eval(), torch.rand(4, 1, 8, 8), steps=8)
    >>> [row["degrees"] for row in rows if row["invariance_error"] < 1e-5]
    [0.0, 90.0, 180.0, 270.0]
    """
    steps = check_whole("steps", steps)
    logits = function(image)
    rows = []
    for degrees in (360 * step / steps for step in range(steps)):
        moved = function(rotate_image(image, degrees))
        rows.append(
            {
                "degrees": degrees,
                "invariance_error": invariance_error(logits, moved),
                "consistency": prediction_consistency(logits, moved),
            }
        )
    return rows
