"""One line for each wrong parameter: place, what it got, what it accepts, what was meant.

All of it is read off the JSON schema of the parameters, so that a new key needs no message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.study.suggestions import candidates, nearest, written
from pipeline.study.values import REPEATED

__all__ = ["Document", "KeyPath", "Problem", "explain"]

KeyPath = tuple[str | int, ...]

MOST_CHARACTERS = 60
MOST_GUESSES = 100  # so that a long list of wrong values is refused as fast as one

Node = Mapping[str, Any]

# Keys of earlier versions: what to write now, of a value that is not null.
RENAMED: dict[KeyPath, str] = {
    ("sweep", "match_parameters"): "match: {{of: parameters, at: {}}}",
}


@dataclass(frozen=True)
class Document:
    """The values of a file and the line, counted from 1, on which each of them stands."""

    name: str
    values: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Line of a key path, or of the nearest ancestor that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines[path]


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


def explain(error: ValidationError, kind: Any, values: Any, base: KeyPath = ()) -> list[Problem]:
    """Translate pydantic's errors, in the order of the keys in the file, one for each place.

    Parameters
    ----------
    error
        What pydantic raised.
    kind
        The type, or model, that it checked.
    values
        The whole input.
    base
        Where the input stands in the file.
    """
    schema, problems = _Schema(kind), dict[KeyPath, Problem]()
    for item in error.errors(include_url=False):
        path, node = schema.resolve(item["loc"])
        # A list none of whose items is valid is not too short as well.
        implied = item["type"] == "too_short" and item["input"] and "anyOf" not in node
        if path not in problems and not implied:
            found = _problem(schema, item, path, node, values, len(problems) < MOST_GUESSES)
            problems[path] = found
            if item["type"] == REPEATED:
                index = item["ctx"]["index"]
                fault = f"got {shown(item['input'][index])} a second time"
                problems[path] = Problem((*path, index), fault, "each value once")
    return [
        Problem((*base, *one.path), one.fault, one.accepts, one.meant) for one in problems.values()
    ]


def shown(value: Any) -> str:
    """A value as YAML would have it, cut to fit a line."""
    text = written(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."


def _problem(
    schema: _Schema, item: Any, path: KeyPath, node: Node, values: Any, guess: bool
) -> Problem:
    if item["type"] == "extra_forbidden" and path in RENAMED:
        written_now = RENAMED[path].format(shown(item["input"]))
        return Problem(path, "an old key", written_now if item["input"] else "match: null")
    if item["type"] == "extra_forbidden":
        known = schema.keys(schema.resolve(item["loc"][:-1])[1])
        meant = nearest(path[-1], known) or schema.elsewhere(str(path[-1])) if guess else None
        return Problem(path, "unknown key", ", ".join(known), meant)
    accepted = schema.accepted(node)
    if item["type"] == "missing":
        return Problem(path, "missing", accepted)
    if item["loc"][-1:] == ("[key]",):
        fault = "unknown name" if "enum" in node else "unfit name"
        likely = (one for one in candidates(path[-1], node) if guess and isinstance(one, str))
        return Problem(path, fault, accepted, next(likely, None))
    got = reduce(lambda value, step: value[step], path, values)
    if item["type"] in ("too_short", "too_long"):
        return Problem(path, f"got {len(got)} values", accepted)
    likely = (one for one in candidates(got, node) if guess and schema.is_valid(path, one))
    return Problem(path, f"got {shown(got)}", accepted, next(map(written, likely), None))


class _Schema:
    """The JSON schema of a type: what stands at a place, in words."""

    def __init__(self, kind: Any) -> None:
        self.adapter = TypeAdapter[Any](kind)
        whole = self.adapter.json_schema()
        self.definitions = whole.get("$defs", {})
        self.whole = whole

    def resolve(self, location: tuple[str | int, ...]) -> tuple[KeyPath, Node]:
        """Follow pydantic's location: its path in the file, and the schema of what stands there.

        A choice between types is one place: what is wrong in one of them is wrong with the value.
        """
        path: KeyPath = ()
        node = self._follow(self.whole)
        for place, step in enumerate(location, 1):
            if "anyOf" in node:
                if (mapping := self._only_mapping(node)) is None:
                    break
                node = mapping
            if step == "[key]":
                return path, node["propertyNames"]
            if "oneOf" in node:  # pydantic's name for a member, not a key of the file
                named = (one for one in node["oneOf"] if one["$ref"].endswith(f"/{step}"))
                node = self._follow(next(named))
                continue
            path = (*path, step)
            if location[place : place + 1] != ("[key]",):
                node = self._follow(_child(node, step))
        return path, node

    def _only_mapping(self, node: Node) -> Node | None:
        """The one mapping with fixed keys among some types, if there is just one."""
        found = [one for one in map(self._follow, node["anyOf"]) if "properties" in one]
        return found[0] if len(found) == 1 else None

    def keys(self, node: Node) -> list[str]:
        """The keys of a mapping, which may be one of two types."""
        mapping = self._only_mapping(node) if "anyOf" in node else self._follow(node)
        return list((mapping or {}).get("properties", ()))

    def accepted(self, node: Node) -> str:
        """What a schema accepts, in words."""
        node = self._follow(node)
        if "errorMessage" in node:
            return str(node["errorMessage"])
        if "anyOf" in node:
            members = sorted(node["anyOf"], key=lambda one: one.get("type") != "null")
            return " or ".join(map(self.accepted, members))
        if "oneOf" in node:
            return " or ".join(f"{{{self._keys(one)}}}" for one in node["oneOf"])
        if "enum" in node or "const" in node:
            return ", ".join(node.get("enum", [node.get("const")]))
        match node.get("type"):
            case "null":
                return f"null ({node['description']})"
            case "boolean":
                return "true or false"
            case "integer" | "number":
                return _number(node)
            case "array":
                most, each = node["maxItems"], self.accepted(node["items"])
                return f"a list of {node['minItems']} to {most} values, each {each}"
        return self._mapping(node)

    def is_valid(self, path: KeyPath, value: Any) -> bool:
        """Whether a value may stand at a place, whatever stands elsewhere."""
        for step in reversed(path):
            value = [value] if isinstance(step, int) else {step: value}
        here = tuple(0 if isinstance(step, int) else step for step in path)
        try:
            self.adapter.validate_python(value)
        except ValidationError as error:
            found = (self.resolve(item["loc"])[0] for item in error.errors(include_url=False))
            return all(one[: len(here)] != here for one in found)
        return True

    def elsewhere(self, key: str) -> str | None:
        """Where in the file a key belongs, if it is one of another section."""
        return next((_dotted(path) for path in self._paths(self.whole) if path[-1] == key), None)

    def _paths(self, node: Node, base: KeyPath = ()) -> Iterator[KeyPath]:
        for name, inner in self._follow(node).get("properties", {}).items():
            yield (*base, name)
            yield from self._paths(inner, (*base, name))

    def _mapping(self, node: Node) -> str:
        if "properties" in node:
            return f"a mapping with the keys {self._keys(node)}"
        inner = self._follow(_child(node, ""))
        if "properties" in inner:
            return f"a mapping of names to mappings with the keys {self._keys(inner)}"
        each = "" if "oneOf" in inner else "values, each "
        return f"a mapping of names to {each}{self.accepted(inner)}"

    def _keys(self, node: Node) -> str:
        return ", ".join(self._follow(node)["properties"])

    def _follow(self, node: Node) -> Node:
        if "$ref" not in node:
            return node
        return {**self.definitions[node["$ref"].rpartition("/")[2]], "title": node["$ref"]}


def _child(node: Node, step: str | int) -> Node:
    """The schema of a key or an item of what a schema describes."""
    if isinstance(step, int):
        return dict(node.get("items", {}))
    named = node.get("properties", {})
    others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    found = named.get(step) or next((one for one in others if one), None)
    return found or {}


def _number(node: Node) -> str:
    whole = node["type"] == "integer"
    text = "a whole number" if whole else "a number"
    if "multipleOf" in node:
        text = f"a multiple of {node['multipleOf']}"
    bounds = {
        "exclusiveMinimum": "above", "minimum": "from", "maximum": "to", "exclusiveMaximum": "below"
    }  # fmt: skip
    for key, word in bounds.items():
        if key in node:
            text += f" {word} {node[key] if whole else format(node[key], 'g')}"
    return text


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
