"""The only reader of params.yaml: YAML without surprises, whose values become a study.

No tags, no anchors, no duplicate keys, and every value with its line. ruamel.yaml reads it as it
does for DVC (YAML 1.2: ``1e-3`` is a number, ``no`` is a word), so a stage and DVC never disagree
about a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipeline.common.errors import UserError
from pipeline.study.messages import Document, KeyPath, Problem, explain
from pipeline.study.rules.cells import CELL_RULES
from pipeline.study.rules.data import DATA_RULES
from pipeline.study.rules.models import MODEL_RULES
from pipeline.study.rules.search import SEARCH_RULES
from pipeline.study.rules.whole import STUDY_RULES
from pipeline.study.schema import Params

__all__ = ["broken_rules", "load_params", "parse_yaml", "read_text", "read_yaml"]

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12
MAX_DIGITS = 30  # beyond these a number is a mistake, and slow to convert
# Other plain words that YAML has types for, such as dates, are text.
CONVERTED = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}

# What ruamel.yaml reads when it meets the end of a file, or a line that belongs to something else.
_OPENED = ("while parsing a flow", "while scanning a quoted")


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read a study.

    Parameters
    ----------
    path
        A YAML file of the form of the project's own ``params.yaml``.

    Raises
    ------
    UserError
        With one line for every problem: file, line, key path, what it got, what it accepts and
        what was probably meant.
    """
    document = read_yaml(Path(path))
    problems: list[Problem]
    try:
        params = Params.model_validate(document.values)
    except ValidationError as error:
        problems = explain(error, Params, document.values)
    else:
        problems = list(broken_rules(params))
    if problems:
        raise UserError(*(problem.sentence(document) for problem in problems))
    return params


def broken_rules(params: Params) -> Iterator[Problem]:
    """Yield a problem for every rule that a well-formed study breaks."""
    for rule in (*DATA_RULES, *MODEL_RULES, *CELL_RULES, *SEARCH_RULES, *STUDY_RULES):
        yield from rule(params)


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
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _PlainComposer
    yaml.max_depth = most_depth + 1  # which counts the whole file as the first level
    lines: dict[KeyPath, int] = {(): 1}
    try:
        root = yaml.compose(text)
        values = None if root is None else _value(root, (), lines, yaml.constructor)
    except _Refused as refused:
        raise UserError(f"{name}:{refused.line}: {refused}") from None
    except MaxDepthExceededError as error:
        deep = f"nested more than {most_depth} deep; no study needs as much"
        raise UserError(f"{name}:{error.problem_mark.line + 1}: {deep}") from None
    except MarkedYAMLError as error:
        line, problem = _fault(error)
        raise UserError(f"{name}:{line}: not valid YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{name}:{line}: holds a character that cannot be shown; remove it"
        ) from None
    return Document(name, values, lines)


def _fault(error: MarkedYAMLError) -> tuple[int, str]:
    """Return the line to look at and what is wrong there; ruamel.yaml often names a later line."""
    began, mark = error.context_mark, error.problem_mark or error.context_mark
    line, problem = mark.line + 1 if mark else 1, str(error.problem).removeprefix("but ")
    if error.context == "while scanning a simple key" and began is not None:
        return began.line + 1, f"{problem} after a key"
    if str(error.context).startswith(_OPENED) and began is not None and began.line + 1 < line:
        problem += f"; it may not be closed on line {began.line + 1}, where it begins"
    elif problem.startswith("mapping values are not allowed"):
        problem += "; correct the indent of this line, or the line before it"
    return line, problem


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


class _Refused(Exception):
    """Valid YAML that a parameter file has no use for."""

    def __init__(self, where: Any, sentence: str) -> None:
        super().__init__(sentence)
        self.line = where.start_mark.line + 1


class _PlainComposer(Composer):
    """Composes nodes without tags, anchors and aliases."""

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        """Compose the next node, which may be a key."""
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent) or event.anchor:
            raise _Refused(event, "anchors (&) and aliases (*) are not accepted; write it out")
        if getattr(event, "tag", None):
            raise _Refused(event, f"the tag {event.tag!r} is not accepted; write a plain value")
        node: Node = super().compose_node(parent, index)
        return node


def _value(node: Node, path: KeyPath, lines: dict[KeyPath, int], constructor: Any) -> Any:
    """Convert a node, noting the line of each value, or of its key."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, SequenceNode):
        return [_value(one, (*path, i), lines, constructor) for i, one in enumerate(node.value)]
    if not isinstance(node, MappingNode):
        return _scalar(node, constructor)
    values: dict[str, Any] = {}
    for key, inner in node.value:
        if not isinstance(key, ScalarNode):
            raise _Refused(key, "a key must be a plain word")
        here = (*path, key.value)
        if key.value in values:
            first = f"the key occurs twice, first on line {lines[here]}"
            raise _Refused(key, f"{key.value}: {first}")
        lines[here] = key.start_mark.line + 1
        values[key.value] = _value(inner, here, lines, constructor)
    return values


def _scalar(node: Node, constructor: Any) -> Any:
    if node.tag not in CONVERTED:
        return node.value
    if str(node.tag).endswith(":int") and len(node.value) > MAX_DIGITS:
        raise _Refused(node, f"a number of {len(node.value)} digits; no study needs as many")
    try:
        return constructor.construct_object(node)
    except ValueError:  # such as -_, which only looks like a number
        return node.value
