"""Positional encodings by the names that users have: a new one is a module and an entry here.

An entry can be added at run time: `docs/library.md` has an example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from gsa_core.attention.encodings.absolute import AbsoluteEncoding
from gsa_core.attention.encodings.published import PublishedFunction, PublishedTable
from gsa_core.attention.encodings.relative import (
    FrameOffsets,
    RadialFunction,
    RelativeFunction,
    RelativeTable,
)
from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.encodings.tables import OffsetEncoding
from gsa_core.groups import PointGroup

__all__ = [
    "ENCODINGS",
    "POSITIONAL",
    "Encoding",
    "Setting",
    "check_positional",
    "check_setting",
    "make_encoding",
]

ENCODINGS = ("auto", "table", "continuous", "published")  # ways to hold one, see `Encoding.kinds`
_SCALE = 8  # pixels, where neither a window nor an image says more


@dataclass(frozen=True)
class Setting:
    """The layer that an encoding is for.

    Parameters
    ----------
    group, channels, heads, head_dim
        The point group, channels of a token, heads, channels a head.
    image_size, window
        ``(height, width)``, and odd side of the neighbourhoods, in pixels.
    kind
        One of ``ENCODINGS``.
    frame_offsets
        As in `FrameOffsets`.
    """

    group: PointGroup
    channels: int
    heads: int
    head_dim: int
    image_size: tuple[int, int] | None
    window: int | None
    kind: str
    frame_offsets: Tensor | None

    @property
    def reach(self) -> int | None:
        """Largest offset in pixels, where it is known."""
        if self.window is not None:
            return self.window // 2
        return max(self.image_size) - 1 if self.image_size else None

    @property
    def scale(self) -> float:
        """Length in pixels over which an encoding varies."""
        return float(self.reach or _SCALE)

    @property
    def of_heads(self) -> tuple[PointGroup, int, int]:
        """First arguments of encodings of offsets."""
        return self.group, self.heads, self.head_dim


@dataclass(frozen=True)
class Encoding:
    """A positional encoding, as layers see it.

    Parameters
    ----------
    make
        The modules of a layer by their names: ``absolute`` is added to tokens, ``relative``, an
        `OffsetEncoding`, gives the tables of offsets that queries meet, ``rotary``, a
        `RotaryEncoding`, rotates queries and keys.
    kinds
        The values of ``encoding`` that it takes, in addition to ``auto`` and ``published``.
    on_tokens, on_scores
        Whether it is added to tokens, in a network once and before all layers, and needs the size
        of the image; whether it enters scores.
    least_head_dim
        Channels that a head needs.
    """

    make: Callable[[Setting], dict[str, nn.Module]]
    kinds: tuple[str, ...] = ()
    on_tokens: bool = False
    on_scores: bool = True
    least_head_dim: int = 1


def _absolute(setting: Setting) -> dict[str, nn.Module]:
    if setting.image_size is None:
        raise ValueError(
            "image_size: got None with positional 'absolute'; accepts the size in pixels"
        )
    return {
        "absolute": AbsoluteEncoding(
            setting.group, setting.channels, setting.image_size, setting.kind
        )
    }


def _relative(setting: Setting) -> dict[str, nn.Module]:
    """A table where its extent is known and the group keeps the axes, else a function."""
    kind, reach, offsets = setting.kind, setting.reach, setting.frame_offsets
    keeps_axes = setting.group.keeps_axes
    made: nn.Module
    if kind == "published":
        published = PublishedTable if keeps_axes else PublishedFunction
        made = published(*setting.of_heads, reach or 0, frame_offsets=offsets)
    elif kind == "table" or (kind == "auto" and reach is not None and keeps_axes):
        made = RelativeTable(*setting.of_heads, reach or 0, frame_offsets=offsets)
    else:
        # One period over a window: finer than that, turns off the grid would be lost in it.
        made = RelativeFunction(*setting.of_heads, 2 * setting.scale, frame_offsets=offsets)
    return {"relative": made}


def _radial(setting: Setting) -> dict[str, nn.Module]:
    offsets = setting.frame_offsets
    return {"relative": RadialFunction(*setting.of_heads, setting.scale, frame_offsets=offsets)}


def _rotary(setting: Setting) -> dict[str, nn.Module]:
    return {
        "rotary": RotaryEncoding(*setting.of_heads, setting.scale),
        "relative": FrameOffsets(*setting.of_heads, frame_offsets=setting.frame_offsets),
    }


class _Registry(dict[str, Encoding]):
    """Encodings by name; those of the library cannot be replaced, as saved networks name them."""

    def __setitem__(self, name: str, encoding: Encoding) -> None:
        if name in _OWN:
            raise ValueError(
                f"POSITIONAL: {name!r} is an encoding of the library, which saved networks name; "
                "take another name"
            )
        if not isinstance(encoding, Encoding):
            raise TypeError(f"POSITIONAL[{name!r}]: got {encoding!r}; accepts an Encoding(make)")
        super().__setitem__(name, encoding)


_OWN = {
    "none": Encoding(lambda setting: {}, on_scores=False),
    "absolute": Encoding(_absolute, kinds=("table", "continuous"), on_tokens=True, on_scores=False),
    "relative": Encoding(_relative, kinds=("table", "continuous")),
    "radial": Encoding(_radial, kinds=("continuous",)),
    "rotary": Encoding(_rotary, least_head_dim=2),
}
POSITIONAL: dict[str, Encoding] = _Registry(_OWN)


def check_positional(name: object) -> None:
    """The name of an encoding."""
    if not isinstance(name, str) or name not in POSITIONAL:
        accepted = ", ".join(map(repr, POSITIONAL))
        raise ValueError(
            f"positional: got {name!r}; accepts {accepted}, or one of your own that "
            "was entered in POSITIONAL before"
        )


def make_encoding(positional: str, setting: Setting) -> dict[str, nn.Module]:
    """The modules of an encoding by their names in a layer."""
    encoding = POSITIONAL[positional]
    if encoding.on_scores and setting.kind in ("table", "published") and setting.reach is None:
        raise ValueError(
            f"encoding: got {setting.kind!r} without window or image_size, to size it; accepts "
            "'auto', 'continuous', or either of these with it"
        )
    made = encoding.make(setting)
    _check_made(positional, encoding, made)
    return made


_MADE = {"absolute": nn.Module, "relative": OffsetEncoding, "rotary": RotaryEncoding}


def _check_made(positional: str, encoding: Encoding, made: dict[str, nn.Module]) -> None:
    """The modules of an encoding of one's own are such that layers can use them."""
    place = f"make of POSITIONAL[{positional!r}]"
    if not isinstance(made, dict):
        raise TypeError(
            f"{place}: returned a {type(made).__name__}; accepts modules by their names, such as "
            "{'relative': module}"
        )
    for name, module in made.items():
        if name not in _MADE:
            raise ValueError(
                f"{place}: got a module {name!r}; accepts {', '.join(map(repr, _MADE))}"
            )
        if not isinstance(module, _MADE[name]):
            raise TypeError(
                f"{place}: got a {type(module).__name__} as {name!r}; accepts a subclass of "
                f"{_MADE[name].__name__} of {_MADE[name].__module__}"
            )
    if encoding.on_tokens and "absolute" not in made:
        raise ValueError(f"{place}: got no module 'absolute' with on_tokens=True; accepts one")


def check_setting(positional: str, window: int | None, image_size: object, kind: str) -> None:
    """No argument that the others leave without a use."""
    encoding = POSITIONAL[positional]
    without = "positional 'none'" if positional == "none" else f"window {window}"
    unsized = not encoding.on_tokens and (not encoding.on_scores or window is not None)
    if image_size is not None and unsized:
        raise ValueError(
            f"image_size: got {image_size!r} with {without}, which needs none; accepts it with "
            "positional 'absolute', or with the other encodings of global attention"
        )
    users = [name for name, other in POSITIONAL.items() if kind in other.kinds]
    if users and positional not in users:
        raise ValueError(
            f"encoding: got {kind!r} with positional {positional!r}, which has no such "
            f"encoding; accepts it with positional {' or '.join(map(repr, users))}"
        )
