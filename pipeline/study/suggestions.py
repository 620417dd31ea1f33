"""What was probably meant by a value that is not accepted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.spelling import nearest

__all__ = ["candidates", "nearest", "written"]

ABSENT = ("none", "nil", "nan", "false", "global", "auto")
TRUTH = {
    "yes": True, "on": True, "true": True, "1": True,
    "no": False, "off": False, "false": False, "0": False,
}  # fmt: skip


def candidates(got: Any, node: Mapping[str, Any]) -> Iterator[Any]:
    """Values that a wrong one may stand for, the likeliest first; not each of them is valid.

    Parameters
    ----------
    got
        The wrong value.
    node
        The JSON schema of what may stand there.

    Examples
    --------
    >>> list(candidates("95%", {"type": "number"})), list(candidates("yes", {"type": "boolean"}))
    ([0.95], [True])
    """
    for member in sorted(node.get("anyOf", ()), key=lambda one: one.get("type") != "null"):
        yield from candidates(got, member)
    words = node.get("enum", [node["const"]] if "const" in node else [])
    if (word := nearest("none" if got is None else got, words)) is not None:
        yield word
    match node.get("type"):
        case "null":
            yield from [None] if str(got).lower() in ABSENT else []
        case "boolean":
            yield from [TRUTH[str(got).lower()]] if str(got).lower() in TRUTH else []
        case "integer" | "number":
            yield from _numbers(got, node)
        case "string" | None if not words and not node.get("anyOf"):
            yield from _texts(got, node)
        case "array":
            yield from _lists(got, node)


def written(value: Any) -> str:
    """A value as one would write it in YAML.

    >>> written([1, None, True, "C4"]), written("12")
    ('[1, null, true, C4]', '"12"')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(one)}' for key, one in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", value):
        return f'"{value}"'  # unquoted it is a number
    return str(value)


def _numbers(got: Any, node: Mapping[str, Any]) -> Iterator[float]:
    """A number behind quotes, a comma or a percent sign; the multiple below a number."""
    if isinstance(got, bool) or not isinstance(got, str | int | float):
        return
    text = str(got).strip().replace(",", ".")
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except (ValueError, OverflowError):
        return
    if value.is_integer() and abs(value) < 2**53:
        value = int(value)
        value -= value % node.get("multipleOf", 1)
    if value != got or isinstance(got, float):
        yield value


def _texts(got: Any, node: Mapping[str, Any]) -> Iterator[str]:
    """A name with hyphens in place of what it cannot hold, a number in quotes, a group."""
    if isinstance(got, str):
        yield re.sub(r"[^A-Za-z0-9_]+", "-", got).strip("-_")[:64]
    elif type(got) is int or (isinstance(got, float) and math.isfinite(got)):
        yield str(got)
    match = re.fullmatch(r"([A-Za-z]*)[ _-]?([0-9]{1,2})", str(got))
    if match is not None and "[CD]" in node.get("pattern", ""):
        letter = "D" if match[1].upper().startswith("D") else "C"
        yield f"{letter}{min(max(int(match[2]), 1), 64)}"


def _lists(got: Any, node: Mapping[str, Any]) -> Iterator[list[Any]]:
    """A pair in reverse, two sides written as 32x48, a list of the one value."""
    if isinstance(got, list):
        yield got[::-1]
        return
    if sides := re.fullmatch(r"([0-9]{1,4}) ?[x*×] ?([0-9]{1,4})", str(got)):
        yield [int(sides[1]), int(sides[2])]
    if got is not None and not isinstance(got, dict) and "items" in node:
        yield [got]
        yield from ([one] for one in candidates(got, node["items"]))
