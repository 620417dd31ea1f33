"""Read JSON that somebody else may have written: bounded size and depth, one sentence if wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError

__all__ = ["configuration", "mapping", "parse_json", "read_json"]

MOST_BYTES = 64 << 20
MOST_DEPTH = 40


def read_json(path: Path, advice: str, *, most: int = MOST_BYTES) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path
        The file.
    advice
        What to do where it is no good, the end of the sentence.
    most
        Bytes it may have.

    Raises
    ------
    UserError
        It cannot be read, is too long or nested too deep, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): {advice}") from None
    return parse_json(content, str(path), advice, most=most)


def parse_json(content: bytes | str, name: str, advice: str, *, most: int = MOST_BYTES) -> Any:
    """Parse JSON, as `read_json` does; `name` is what the sentence calls it."""
    if len(content) > most:
        raise UserError(f"{name}: longer than {most:,} bytes: {advice}")
    try:
        value = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else f"no JSON ({error})"
        raise UserError(f"{name}: {why}: {advice}") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise UserError(f"{name}: nested more than {MOST_DEPTH} deep: {advice}")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def mapping(value: Any, name: str, advice: str) -> dict[str, Any]:
    """Return a value that has to be a mapping.

    Raises
    ------
    UserError
        It is not one.
    """
    if not isinstance(value, dict):
        raise UserError(f"{name}: holds no mapping: {advice}")
    return value


def configuration(text: Any) -> dict[str, Any]:
    """Read the column `configuration` of a row.

    Raises
    ------
    UserError
        It is no JSON mapping, so this project did not write the table.
    """
    name, advice = "a row's configuration", "run `dvc repro` to make its table again"
    return mapping(parse_json(str(text), name, advice, most=1 << 20), name, advice)
