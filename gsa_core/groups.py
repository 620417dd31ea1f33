"""Finite point groups of the plane and their actions on images and feature maps.

The one axis convention of the package
--------------------------------------
A position is a column ``(row, col)`` measured in pixels from the image centre
``((height - 1) / 2, (width - 1) / 2)``; rows grow downwards. On it act

    R(t) = [[cos t, -sin t], [sin t, cos t]]    and    M = diag(1, -1).

Element ``k + n * m`` of a group with ``n`` rotations is ``R(2 pi k / n) M^m``. With
``(L_s f)(p) = f(s^-1 p)`` a quarter turn of an image is ``torch.rot90(x, 1, (-2, -1))`` and the
mirror is ``torch.flip(x, (-1,))``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsa_core.common.arguments import check_flag, check_whole

__all__ = [
    "PointGroup",
    "act",
    "act_on_features",
    "act_on_image",
    "check_group",
    "cyclic_group",
    "dihedral_group",
    "point_group",
]

_CPU = torch.device("cpu")  # tables are made there whatever the default device


@dataclass(frozen=True)
class PointGroup:
    """A finite subgroup H of O(2): ``C_n`` (rotations) or ``D_n`` (rotations and mirrors).

    Parameters
    ----------
    rotations
        Number ``n`` of rotations, at least 1.
    mirrors
        Whether the mirror ``M`` belongs to the group; its order is then ``2 n``.

    Notes
    -----
    Elements are integer indices, 0 is the identity. The group axioms are checked when a group is
    built, from the matrices: ``matrices[product[i, j]] == matrices[i] @ matrices[j]``.

    Examples
    --------
    >>> group = dihedral_group(4)
    >>> group.name, group.order
    ('D4', 8)
    >>> group.product[1, 3].item(), group.inverse[1].item()
    (0, 3)
    """

    rotations: int
    mirrors: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotations", check_whole("rotations", self.rotations))
        object.__setattr__(self, "mirrors", check_flag("mirrors", self.mirrors))
        self._check_axioms()

    def _check_axioms(self) -> None:
        """The table is the table of these matrices, and ``inverse`` inverts; the rest follows."""
        products = torch.einsum("iab,jbc->ijac", self.matrices, self.matrices)
        if not torch.allclose(products, self.matrices[self.product], rtol=0, atol=1e-12):
            raise AssertionError(f"{self.name}: the Cayley table is not that of the matrices")
        everyone = torch.arange(self.order, device=_CPU)
        if self.product[everyone, self.inverse].any() or self.product[self.inverse, everyone].any():
            raise AssertionError(f"{self.name}: the inverses do not invert")

    @property
    def name(self) -> str:
        """``"C4"``, ``"D4"``; ``D_n`` has order ``2 n``."""
        return f"{'D' if self.mirrors else 'C'}{self.rotations}"

    @property
    def order(self) -> int:
        """Number of elements ``|H|``."""
        return self.rotations * (2 if self.mirrors else 1)

    @property
    def product(self) -> Int[Tensor, "order order"]:
        """Cayley table: ``product[i, j]`` is the element "first j, then i"."""
        return self._tables[0].clone()

    @property
    def inverse(self) -> Int[Tensor, " order"]:
        """``product[i, inverse[i]] == 0``; a reflection is its own inverse."""
        return self._tables[1].clone()

    @property
    def matrices(self) -> Float[Tensor, "order 2 2"]:
        """Orthogonal matrices acting on columns ``(row, col)``, float64.

        Entries of elements that differ by a quarter turn or a mirror agree to the last bit (up to
        sign and order), so what is exact on the grid stays exact in every floating-point type.
        """
        return self._tables[2].clone()

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Product, inverse and matrices. Groups are shared, so users are given copies."""
        with torch.inference_mode(False):  # not for good, where it happens to be on now
            k, m = self._rotation_and_mirror()
            # R^a M^m R^b = R^(a + b) M^m without, R^(a - b) M^m with the mirror.
            turned = k[:, None] + torch.where(m[:, None] == 1, -k, k)
            product = turned % self.rotations + self.rotations * (m[:, None] ^ m[None, :])
            inverse = torch.where(m == 1, k + self.rotations, -k % self.rotations)
            entries = [_turn(int(i), self.rotations) for i in k]
            matrices = torch.tensor(entries, dtype=torch.float64, device=_CPU)
            matrices[m == 1, :, 1] *= -1
        return product, inverse, matrices

    @property
    def relative(self) -> Int[Tensor, "order order"]:
        """``relative[h, h'] = h^-1 h'``: the group offset of two frames, left invariant."""
        return self.product[self.inverse]

    @property
    def keeps_axes(self) -> bool:
        """Whether every element maps the pixel grid onto itself (C1, C2, C4, D1, D2, D4)."""
        return 4 % self.rotations == 0

    def is_exact(self, element: int) -> bool:
        """Whether ``element`` maps the pixel grid onto itself: quarter turns and their mirrors."""
        return 4 * (self._checked(element) % self.rotations) % self.rotations == 0

    @property
    def exact_elements(self) -> tuple[int, ...]:
        """Indices of the elements that map the pixel grid onto itself."""
        return tuple(i for i in range(self.order) if self.is_exact(i))

    def element_name(self, element: int) -> str:
        """``"e"``, ``"r90"`` (a turn in degrees), ``"m"``, ``"r90m"`` (mirror, then turn)."""
        k, m = self._checked(element) % self.rotations, element // self.rotations
        turn = f"r{360 * k / self.rotations:g}" if k else ""
        return turn + "m" * m or "e"

    def _checked(self, element: int) -> int:
        index = -1 if isinstance(element, bool) else element
        if not isinstance(index, SupportsIndex) or not 0 <= index < self.order:
            raise ValueError(
                f"element: got {element}; accepts the elements 0 to {self.order - 1} of {self.name}"
            )
        return int(index)

    def _rotation_and_mirror(self) -> tuple[Tensor, Tensor]:
        """Powers ``(k, m)`` of every element ``R(2 pi k / n) M^m``."""
        index = torch.arange(self.order, device=_CPU)
        return index % self.rotations, index // self.rotations

    def __repr__(self) -> str:
        return f"PointGroup({self.name!r}, order={self.order})"


def _turn(k: int, n: int) -> list[list[float]]:
    """``R(2 pi k / n)``: quarter turns split off exactly, the rest taken in the first octant."""
    quarters, rest = divmod(4 * k, n)  # the angle is (quarters + rest / n) * 90 degrees
    if 2 * rest == n:
        cos = sin = math.sqrt(0.5)
    elif 2 * rest < n:
        cos, sin = math.cos(math.pi / 2 * rest / n), math.sin(math.pi / 2 * rest / n)
    else:
        cos, sin = math.sin(math.pi / 2 * (n - rest) / n), math.cos(math.pi / 2 * (n - rest) / n)
    for _ in range(quarters % 4):
        cos, sin = 0.0 - sin, cos  # not -sin: no negative zeros
    return [[cos, -sin], [sin, cos]]


def cyclic_group(n: int) -> PointGroup:
    """The group ``C_n`` of rotations by multiples of ``2 pi / n``; ``C_1`` is trivial.

    >>> cyclic_group(4).order
    4
    """
    return PointGroup(n)


def dihedral_group(n: int) -> PointGroup:
    """The group ``D_n`` of ``n`` rotations and ``n`` mirrors; ``D_1`` is the mirror alone.

    >>> dihedral_group(4).order
    8
    """
    return PointGroup(n, mirrors=True)


def point_group(group: PointGroup | str) -> PointGroup:
    """The group of that name, ``"C4"`` or ``"D4"``; a group is returned as it is.

    >>> point_group("D2")
    PointGroup('D2', order=4)
    """
    if isinstance(group, PointGroup):
        return group
    if not isinstance(group, str):
        raise TypeError(f"group: got {group!r}; accepts a PointGroup or its name, such as 'C4'")
    return _named_group(group)


def check_group(group: object) -> None:
    """A `PointGroup`, for layers, which take no names."""
    if not isinstance(group, PointGroup):
        raise TypeError(f"group: got {group!r}; accepts a PointGroup, such as cyclic_group(4)")


@lru_cache
def _named_group(name: str) -> PointGroup:
    match = re.fullmatch(r"([CD])([1-9][0-9]{0,2})", name)
    if match is None:
        raise ValueError(f"group: got {name!r}; accepts C<n> or D<n> with n from 1 to 999")
    return PointGroup(int(match[2]), mirrors=match[1] == "D")


def act_on_image(
    group: PointGroup, element: int, image: Float[Tensor, "*batch height width"]
) -> Float[Tensor, "*batch height_ width_"]:
    """Left action on images, ``(L_s f)(p) = f(s^-1 p)``, on the last two axes.

    Exact: pixels are permuted, nothing is interpolated. A quarter turn swaps height and width.
    Element ``k`` turns counterclockwise by ``k / n`` of a turn, ``n + k`` mirrors left-right first.

    Raises
    ------
    ValueError
        Where ``element`` does not map the pixel grid onto itself.

    Examples
    --------
    >>> image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> act_on_image(cyclic_group(4), 1, image)
    tensor([[2., 4.],
            [1., 3.]])
    """
    check_group(group)
    if not group.is_exact(element):
        raise ValueError(
            f"element: got {element} ({group.element_name(element)} of {group.name}), which does "
            f"not keep the pixel grid; accepts {list(group.exact_elements)}"
        )
    if image.ndim < 2:
        raise ValueError(f"image: got {tuple(image.shape)}; accepts (..., height, width)")
    k, mirrored = element % group.rotations, element >= group.rotations
    if mirrored:
        image = image.flip(-1)
    return torch.rot90(image, 4 * k // group.rotations, (-2, -1))


def act_on_features(
    group: PointGroup, element: int, features: Float[Tensor, "*batch group height width"]
) -> Float[Tensor, "*batch group height_ width_"]:
    """Left action on group feature maps, ``(L_s F)(p, h) = F(s^-1 p, s^-1 h)``.

    The group axis is the third from the end. Space is turned and the frames are permuted: for a
    rotation of ``C_n`` the permutation is a cyclic shift.

    Examples
    --------
    >>> features = torch.arange(4.0).reshape(1, 1, 4, 1, 1)
    >>> act_on_features(cyclic_group(4), 1, features).flatten()
    tensor([3., 0., 1., 2.])
    """
    check_group(group)
    if features.ndim < 3 or features.shape[-3] != group.order:
        raise ValueError(
            f"features: got {tuple(features.shape)}; accepts (..., {group.order}, height, width), "
            f"the frames of {group.name}"
        )
    frames = group.relative[group._checked(element)].to(features.device)  # s^-1 h for every h
    return act_on_image(group, element, features.index_select(-3, frames))


def act(group: PointGroup, element: int, tensor: Tensor) -> Tensor:
    """The action that fits the number of axes of ``tensor``.

    ``(batch, channels, |H|, height, width)`` is acted on as a feature map,
    ``(batch, channels, height, width)`` as an image; ``(batch, features)`` is left as it is, which
    is what invariance asks of logits.
    """
    if tensor.ndim == 5:
        return act_on_features(group, element, tensor)
    if tensor.ndim == 4:
        return act_on_image(group, element, tensor)
    if tensor.ndim == 2:
        return tensor
    raise ValueError(f"tensor: got {tensor.ndim} axes; accepts 2, 4 or 5")
