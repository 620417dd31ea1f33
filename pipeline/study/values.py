"""Kinds of value a parameter can take: each checks, says what it accepts, guesses a slip."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from pipeline.common.spelling import nearest

__all__ = [
    "Ascending",
    "Asked",
    "AxisValue",
    "Either",
    "Flag",
    "GroupName",
    "InsideFolder",
    "Kind",
    "Number",
    "OneOf",
    "OrNull",
    "OrWord",
    "Several",
    "Sides",
    "Text",
    "Whole",
    "Word",
    "nearest",
]

MAX_GROUP_TURNS = 64


class Kind:
    """Checks one value. Subclasses say what they accept and what was probably meant."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        raise NotImplementedError

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is of this kind."""
        raise NotImplementedError

    def meant(self, got: Any) -> str | None:
        """Guess what was meant instead of a value that is not of this kind."""
        return None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: Any) -> Any:
            if not self.is_valid(value):
                raise ValueError(self.accepts)
            return value

        return core_schema.no_info_plain_validator_function(check)


@dataclass(frozen=True)
class Number(Kind):
    """A finite number of an interval; its open ends are named."""

    low: float
    high: float
    above: bool = False  # low itself is not accepted
    below: bool = False  # high itself is not accepted

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        low = f"{'above' if self.above else 'from'} {self.low:g}"
        return f"a number {low} {'below' if self.below else 'to'} {self.high:g}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is a number of the interval; true and false are not."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        inside = self.low <= value <= self.high and math.isfinite(value)
        return inside and not (
            (self.above and value == self.low) or (self.below and value == self.high)
        )

    def meant(self, got: Any) -> str | None:
        """Guess a number behind quotes, a comma or a percent sign."""
        if not isinstance(got, str):
            return None
        text = got.strip().replace(",", ".")
        try:
            value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            return None
        value = int(value) if value.is_integer() and abs(value) < 2**53 else value
        return str(value) if self.is_valid(value) else None


@dataclass(frozen=True)
class Whole(Number):
    """A whole number of an interval, in steps from zero."""

    step: int = 1

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        kind = "a whole number" if self.step == 1 else f"a multiple of {self.step}"
        return f"{kind} from {self.low} to {self.high}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is a whole number of the interval; 3.0 is not."""
        return isinstance(value, int) and super().is_valid(value) and value % self.step == 0

    def meant(self, got: Any) -> str | None:
        """Guess a whole number behind 3.0, and the multiple below a number."""
        if isinstance(got, float) and got.is_integer() and self.is_valid(int(got)):
            return str(int(got))
        if isinstance(got, int) and self.is_valid(got - got % self.step):
            return str(got - got % self.step)
        return super().meant(got)


@dataclass(frozen=True)
class Sides(Whole):
    """A whole number for both sides, or a list of height and width."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return f"{super().accepts}, or [height, width]"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is such a number, or two of them."""
        if isinstance(value, list | tuple):
            return len(value) == 2 and all(map(super().is_valid, value))
        return super().is_valid(value)

    def meant(self, got: Any) -> str | None:
        """Guess two sides behind text such as 32x48."""
        found = re.fullmatch(r"([0-9]{1,4}) ?[x*×] ?([0-9]{1,4})", str(got))
        pair = [int(found[1]), int(found[2])] if found else None
        return str(pair) if self.is_valid(pair) else super().meant(got)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return "true or false"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is a truth value."""
        return isinstance(value, bool)

    def meant(self, got: Any) -> str | None:
        """Guess the truth value behind the words of YAML 1.1."""
        words = {"yes": "true", "on": "true", "true": "true", "1": "true"}
        words |= {"no": "false", "off": "false", "false": "false", "0": "false"}
        return words.get(str(got).lower())


@dataclass(frozen=True)
class OneOf(Kind):
    """A word out of a list."""

    words: tuple[str, ...]

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return ", ".join(self.words)

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is one of the words."""
        return isinstance(value, str) and value in self.words

    def meant(self, got: Any) -> str | None:
        """Guess the nearest word; null stands for ``none`` where that is a word."""
        return nearest("none" if got is None else got, self.words)


@dataclass(frozen=True)
class Either(Kind):
    """A whole number out of a few."""

    numbers: tuple[int, ...]

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return " or ".join(map(str, self.numbers))

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is one of the numbers; true and 1.0 are not."""
        return type(value) is int and value in self.numbers

    def meant(self, got: Any) -> str | None:
        """Guess the number behind quotes or 3.0."""
        guess = Number(min(self.numbers), max(self.numbers)).meant(str(got))
        return guess if guess in [str(number) for number in self.numbers] else None


@dataclass(frozen=True)
class Text(Kind):
    """Words, a path or a pattern on one line."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return "text of 1 to 1000 characters on one line"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is such text."""
        return isinstance(value, str) and 0 < len(value) <= 1000 and value.isprintable()

    def meant(self, got: Any) -> str | None:
        """Guess text behind a number."""
        return f'"{got}"' if type(got) in (int, float) else None


@dataclass(frozen=True)
class Word(Kind):
    """A name that is safe in paths and pages."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return "1 to 64 letters, digits, '-' and '_', the first a letter or digit"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is such a name."""
        pattern = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None

    def meant(self, got: Any) -> str | None:
        """Guess the name with every other character as a hyphen."""
        text = re.sub(r"[^A-Za-z0-9_]+", "-", str(got)).strip("-_")[:64]
        return text if isinstance(got, str) and self.is_valid(text) else None


@dataclass(frozen=True)
class Asked(Kind):
    """A word that asks for what only the environment of whoever runs a study may name."""

    word: str
    variable: str

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return (
            f"{self.word}, which asks whoever runs the study to set {self.variable}; a file never "
            "names an address, since what is there is sent code and data"
        )

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is the word."""
        return isinstance(value, str) and value == self.word


@dataclass(frozen=True)
class InsideFolder(Kind):
    """A folder of the project to write to; a variable may name any other place."""

    variable: str

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return (
            f"a folder within the project, such as checkpoints; set {self.variable} to write to "
            "any other folder or bucket, which a file never decides"
        )

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is a relative path that stays inside."""
        if not Text().is_valid(value) or re.search(r"[:\\]", value) or value[0] in "/~":
            return False
        return ".." not in value.split("/")


@dataclass(frozen=True)
class GroupName(Kind):
    """The name of a point group."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return f"C<n> or D<n> with n from 1 to {MAX_GROUP_TURNS}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value names a cyclic or a dihedral group."""
        match = re.fullmatch(r"[CD]([1-9][0-9]?)", value) if isinstance(value, str) else None
        return match is not None and int(match[1]) <= MAX_GROUP_TURNS

    def meant(self, got: Any) -> str | None:
        """Guess the group behind a wrong letter, a zero, or a number alone."""
        match = re.fullmatch(r"([A-Za-z]*)[ _-]?([0-9]{1,2})", str(got))
        if match is None or isinstance(got, float):
            return None
        letter = "D" if match[1].upper().startswith("D") else "C"
        return f"{letter}{min(max(int(match[2]), 1), MAX_GROUP_TURNS)}"


@dataclass(frozen=True)
class AxisValue(Kind):
    """A value of one of the axes of a study: a name, or a depth."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return "a name or a whole number"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is of this kind."""
        return Word().is_valid(value) or type(value) is int


@dataclass(frozen=True)
class Ascending(Kind):
    """Two finite numbers, the lower one first."""

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return "[low, high], two numbers of which the second is larger"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is such a pair."""
        pair = isinstance(value, list | tuple) and len(value) == 2
        return pair and all(map(Number(-1e18, 1e18).is_valid, value)) and value[0] < value[1]

    def meant(self, got: Any) -> str | None:
        """Guess the pair behind its reverse."""
        turned = isinstance(got, list | tuple) and self.is_valid(got[::-1])
        return f"[{got[1]}, {got[0]}]" if turned else None


@dataclass(frozen=True)
class OrNull(Kind):
    """Null, or another kind."""

    kind: Kind
    null_means: str

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return f"null ({self.null_means}) or {self.kind.accepts}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is null or of the other kind."""
        return value is None or self.kind.is_valid(value)

    def meant(self, got: Any) -> str | None:
        """Guess null behind the words other languages have for it."""
        absent = str(got).lower() in ("none", "nil", "nan", "false", "global", "auto")
        return "null" if absent else self.kind.meant(got)


@dataclass(frozen=True)
class OrWord(Kind):
    """A word, or another kind."""

    word: str
    kind: Kind

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return f"{self.word} or {self.kind.accepts}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is the word or of the other kind."""
        return value == self.word or self.kind.is_valid(value)

    def meant(self, got: Any) -> str | None:
        """Guess what was meant."""
        return self.kind.meant(got) or nearest(got, [self.word])


@dataclass(frozen=True)
class Several(Kind):
    """A list of one or more values of a kind, none of them twice."""

    kind: Kind
    most: int = 64

    @property
    def accepts(self) -> str:
        """What may stand here, in words."""
        return f"a list of 1 to {self.most} values, each {self.kind.accepts}"

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value is such a list."""
        return isinstance(value, list | tuple) and self.fault(list(value)) is None

    def fault(self, values: list[Any]) -> int | None:
        """Index of the first value that is of another kind or stands there already."""
        if not 0 < len(values) <= self.most:
            return -1
        for index, value in enumerate(values):
            if not self.kind.is_valid(value) or value in values[:index]:
                return index
        return None

    def meant(self, got: Any) -> str | None:
        """Guess a list behind a single value."""
        if got is None or isinstance(got, list | dict):
            return None
        inner = got if self.kind.is_valid(got) else self.kind.meant(got)
        return None if inner is None else f"[{inner}]"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        convert: Callable[[Any], Any] = tuple
        return core_schema.no_info_after_validator_function(
            convert, super().__get_pydantic_core_schema__(source, handler)
        )
