"""Read YAML without surprises: no tags, no anchors, no duplicate keys, and the line of every value.

Plain scalars follow YAML 1.2 as DVC reads them (``1e-3`` is a number, ``no`` is a word), so a stage
and DVC never disagree about a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.common.errors import UserError

__all__ = ["Document", "KeyPath", "parse_yaml", "read_text", "read_yaml"]

KeyPath = tuple[str | int, ...]

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12
MAX_DIGITS = 30  # beyond these a number is a mistake, and slow to convert

CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
SPECIAL_FLOAT = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)


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


def read_yaml(path: Path) -> Document:
    """Read one YAML file of mappings, lists and scalars.

    Raises
    ------
    UserError
        For a file that is missing, too long, not UTF-8 or not YAML, and for everything in YAML
        that a parameter file has no use for.
    """
    return parse_yaml(read_text(path), path.name)


def parse_yaml(
    text: str, name: str, most_bytes: int = MAX_BYTES, most_depth: int = MAX_DEPTH
) -> Document:
    """Read the text of one YAML file, as `read_yaml` does; `name` is what its errors call it."""
    if len(text) > most_bytes:
        raise UserError(f"{name}: longer than {most_bytes // 1024} KiB; no study needs as much")
    try:
        return _Builder(name, yaml.parse(text, Loader=yaml.SafeLoader), most_depth).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{name}:{line}: not valid YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{name}:{line}: holds a character that cannot be shown; remove it"
        ) from None


def read_text(path: Path) -> str:
    """Decode a file of bounded size."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this in the project's folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path.name}: longer than {MAX_BYTES // 1024} KiB; no study needs as much")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        raise UserError(
            f"{path.name}:{line}: byte {byte:#x} is not UTF-8; save the file as UTF-8"
        ) from None


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Builder:
    """Builds values from the parser's events, so that nothing is expanded or constructed."""

    def __init__(self, name: str, events: Iterator[yaml.Event], most_depth: int) -> None:
        self.name, self.events, self.most_depth = name, events, most_depth
        self.lines: dict[KeyPath, int] = {(): 1}

    def document(self) -> Document:
        next(self.events)  # start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Document(self.name, None, self.lines)
        values = self.node(next(self.events), ())
        next(self.events)  # end of the document
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.refuse(after, "a second document starts here; keep one")
        return Document(self.name, values, self.lines)

    def refuse(self, event: yaml.Event, sentence: str) -> UserError:
        return UserError(f"{self.name}:{_line(event)}: {sentence}")

    def node(self, event: yaml.Event, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.refuse(event, "anchors (&) and aliases (*) are not accepted; write it out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self.refuse(event, f"the tag {tag!r} is not accepted; write a plain value")
        if len(path) > self.most_depth:
            most = self.most_depth
            raise self.refuse(event, f"nested more than {most} deep; no study needs as much")
        self.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(event)

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.refuse(event, "a key must be a plain word")
            key = event.value
            here = (*path, key)
            if key in values:
                before = self.lines[here]
                raise self.refuse(event, f"{key}: the key stands twice, first on line {before}")
            self.lines[here] = _line(event)
            values[key] = self.node(next(self.events), here)
        return values

    def sequence(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self.node(event, (*path, len(values))))
        return values

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if event.style is not None:  # quoted, or a block
            return text
        if text.lower() in CONSTANTS and text in (text.lower(), text.title(), text.upper()):
            return CONSTANTS[text.lower()]
        if INTEGER.fullmatch(text):
            if len(text) > MAX_DIGITS:
                raise self.refuse(event, f"a number of {len(text)} digits; no study needs as many")
            return int(text)
        if FLOAT.fullmatch(text):
            return float(text)
        if SPECIAL_FLOAT.fullmatch(text):
            return float(text.replace(".", "", 1))
        return text
