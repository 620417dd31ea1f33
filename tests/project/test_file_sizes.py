"""Files hold one idea and functions one step: how long they may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES, BODY = 300, 50
FOLDERS = ("benchmarks", "gsa_core", "pipeline", "scripts", "tests")


def too_long(text: str) -> Iterator[str]:
    """Say what of a file is too long: the file, or the bodies of functions."""
    if text.count("\n") > LINES:
        yield f"{text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[ast.get_docstring(node) is not None :]
            if first and node.end_lineno - first[0].lineno >= BODY:  # type: ignore[operator]
                yield f"{node.name}: {node.end_lineno - first[0].lineno + 1} lines"  # type: ignore[operator]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_and_no_function_is_too_long(folder: str, root: Path) -> None:
    files = sorted((root / folder).rglob("*.py"))
    found = {str(file): list(too_long(file.read_text())) for file in files}
    assert found and not {name: long for name, long in found.items() if long}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = 1\n" * 300, 0),
        ("x = 1\n" * 301, 1),
        ('def f():\n    """Say."""\n' + "    x = 1\n" * 50, 0),
        ("def f():\n" + "    x = 1\n" * 51, 1),
        ("class A:\n    async def f(self):\n" + "        x = 1\n" * 51, 1),
    ],
)
def test_control_what_is_too_long_is_found(text: str, count: int) -> None:
    assert len(list(too_long(text))) == count
