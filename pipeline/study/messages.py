"""One line for each wrong parameter: place, what it got, what it accepts, what was meant."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.study.values import Kind, OneOf, Several, nearest
from pipeline.study.yaml_reader import Document, KeyPath

__all__ = ["Problem", "explain"]

MOST_CHARACTERS = 60


@dataclass(frozen=True)
class Problem:
    """One thing to change in a parameter file.

    Parameters
    ----------
    path
        Keys and indices that lead to the value.
    fault
        What is wrong with it.
    accepts
        What may stand there.
    meant
        What was probably meant, if that can be guessed.
    """

    path: KeyPath
    fault: str
    accepts: str
    meant: str | None = None

    def sentence(self, document: Document) -> str:
        """The problem as one line, with its place in the file."""
        place = f"{document.name}:{document.line(self.path)}: "
        if self.path:
            place += f"{_dotted(self.path)}: "
        guess = f"; did you mean {self.meant!r}?" if self.meant else ""
        return f"{place}{self.fault}; accepts {self.accepts}{guess}"


def shown(value: Any) -> str:
    """A value as YAML would have it, cut to fit a line."""
    words = {None: "null", True: "true", False: "false"}
    constant = value is None or isinstance(value, bool)
    text = words[value] if constant else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."


def explain(error: ValidationError, model: type[BaseModel], values: Any) -> list[Problem]:
    """Translate pydantic's errors, in the order of the keys in the file.

    Parameters
    ----------
    error
        What pydantic raised.
    model
        The model that it validated.
    values
        The whole input.
    """
    return [_explain_one(item, model, values) for item in error.errors(include_url=False)]


def _explain_one(item: Any, model: type[BaseModel], values: Any) -> Problem:
    path, kind = _resolve(model, item["loc"])
    got = item["input"]
    if item["type"] == "extra_forbidden":
        owner = _resolve(model, item["loc"][:-1])[1]
        return _unknown_key(path, list(_keys(owner)), values, model)
    if item["loc"][-1:] == ("[key]",) and isinstance(kind, Kind):
        if not isinstance(kind, OneOf):
            return Problem(path, "unfit name", kind.accepts, kind.meant(path[-1]))
        return Problem(path, "unknown name", kind.accepts, nearest(path[-1], kind.words))
    if item["type"] == "missing":
        return Problem(path, "missing", _accepted(kind))
    if isinstance(kind, Several) and isinstance(got, list):
        return _explain_list(path, kind, got)
    meant = kind.meant(got) if isinstance(kind, Kind) else None
    return Problem(path, f"got {shown(got)}", _accepted(kind), meant)


def _explain_list(path: KeyPath, kind: Several, got: list[Any]) -> Problem:
    index = kind.fault(got)
    if index is None or index < 0:
        return Problem(path, f"got {len(got)} values", kind.accepts)
    value, here = got[index], (*path, index)
    if kind.kind.is_valid(value):
        return Problem(here, f"got {shown(value)} a second time", "each value once")
    return Problem(here, f"got {shown(value)}", kind.kind.accepts, kind.kind.meant(value))


def _unknown_key(path: KeyPath, known: list[str], values: Any, model: type[BaseModel]) -> Problem:
    """A key that is no field: a misspelt neighbour, or one that belongs to another section."""
    key = str(path[-1])
    meant = nearest(key, known)
    if meant is None:
        elsewhere = [_dotted(other) for other in _all_paths(model) if other[-1] == key]
        meant = elsewhere[0] if elsewhere else None
    return Problem(path, "unknown key", ", ".join(known), meant)


def _resolve(annotation: Any, location: tuple[str | int, ...]) -> tuple[KeyPath, Any]:
    """Follow pydantic's location through the types: its path in the file and what stands there."""
    path: KeyPath = ()
    found = _unwrap(annotation)
    for place, step in enumerate(location, 1):
        if step == "[key]":
            return path, _unwrap(typing.get_args(found)[0]) if found else None
        if isinstance(found, UnionType) or typing.get_origin(found) is typing.Union:
            tags = {_tag(member): member for member in typing.get_args(found)}
            if step in tags:  # pydantic's name for a member, not a key of the file
                found = _unwrap(tags[str(step)])
                continue
        path = (*path, step)
        if isinstance(found, type) and issubclass(found, BaseModel):
            hints = typing.get_type_hints(found, include_extras=True)
            found = _unwrap(hints[str(step)]) if step in found.model_fields else None
        elif typing.get_origin(found) is dict:
            after = location[place:]
            found = found if after[:1] == ("[key]",) else _unwrap(typing.get_args(found)[1])
        else:
            found = None
    return path, found


def _unwrap(annotation: Any) -> Any:
    """The kind of an annotated type, or the bare type."""
    if typing.get_origin(annotation) is typing.Annotated:
        kinds = [extra for extra in annotation.__metadata__ if isinstance(extra, Kind)]
        return kinds[0] if kinds else _unwrap(annotation.__origin__)
    return annotation


def _tag(member: Any) -> str:
    return str(getattr(member.__metadata__[0], "tag", ""))


def _keys(found: Any) -> Iterator[str]:
    if isinstance(found, type) and issubclass(found, BaseModel):
        yield from found.model_fields


def _all_paths(model: type[BaseModel], base: KeyPath = ()) -> Iterator[KeyPath]:
    for name, hint in typing.get_type_hints(model, include_extras=True).items():
        found = _unwrap(hint)
        if name in model.model_fields:
            yield (*base, name)
            if isinstance(found, type) and issubclass(found, BaseModel):
                yield from _all_paths(found, (*base, name))


def _accepted(found: Any) -> str:
    if isinstance(found, Kind):
        return found.accepts
    keys = ", ".join(_keys(found))
    if keys:
        return f"a mapping with the keys {keys}"
    if typing.get_origin(found) is dict and _keys_of_values(found):
        return f"a mapping of names to mappings with the keys {_keys_of_values(found)}"
    if typing.get_origin(found) is dict and isinstance(value := _value_kind(found), Kind):
        return f"a mapping of names to values, each {value.accepts}"
    return "a mapping of names to {low, high, log, step} or {choices}"


def _keys_of_values(found: Any) -> str:
    return ", ".join(_keys(_value_kind(found)))


def _value_kind(found: Any) -> Any:
    """What the values of a mapping are."""
    return _unwrap(typing.get_args(found)[1])


def _dotted(path: KeyPath) -> str:
    """A key path as DVC writes it.

    Examples
    --------
    >>> _dotted(("sweep", "group", 1))
    'sweep.group[1]'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
