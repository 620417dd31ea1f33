"""Which parts of the project a module runs, found by following its imports, and their digests.

A part is a package (``pipeline/study``, ``gsa_core/nn``) or a file next to packages
(``gsa_core/groups.py``). The hash that names the state of a stage, the check that workers run the
driver's code, and the test of the dependencies in dvc.yaml all ask here, so that none of them is
kept by hand. A file is read once a process: a later edit is not what this process has loaded.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.common.errors import UserError

__all__ = ["PROJECT", "code_of", "files_of", "module_name", "parts_of", "raw_digest", "read"]

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("gsa_core", "pipeline")
# Data that code reads: these kinds of files, in the folder of a package or below it.
DATA = (".cpp", ".css", ".csv", ".cu", ".h", ".jinja", ".js", ".json", ".toml", ".txt", ".yaml")


@dataclass(frozen=True)
class SourceFile:
    """What a file said when it was read.

    Attributes
    ----------
    raw
        SHA-256 of its bytes; line ends do not matter.
    meaning
        The same without comments, docstrings and layout, where it is Python, and without comments
        where it is C++.
    imports, at_import
        Dotted names that it imports when it is run, and of these what it imports at once.
    """

    raw: str
    meaning: str
    imports: frozenset[str] = frozenset()
    at_import: frozenset[str] = frozenset()


@cache
def read(file: Path) -> SourceFile:
    """Read a file of the project.

    Raises
    ------
    UserError
        It is not Python, though its name says so.
    ValueError
        It imports relatively.
    """
    content = file.read_bytes().replace(b"\r\n", b"\n")
    raw = hashlib.sha256(content).hexdigest()
    if file.suffix in (".cpp", ".cu", ".h"):
        return SourceFile(raw, hashlib.sha256(_without_comments(content)).hexdigest())
    if file.suffix != ".py":
        return SourceFile(raw, raw)
    try:
        tree = ast.parse(content, str(file))
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno}: not valid Python ({error.msg}); fix it") from None
    found = list(_imports(tree, file))
    meaning = ast.dump(_WithoutDocstrings().visit(tree))
    return SourceFile(
        raw,
        hashlib.sha256(meaning.encode()).hexdigest(),
        frozenset(name for name, _ in found),
        frozenset(name for name, deferred in found if not deferred),
    )


def raw_digest(file: Path) -> str | None:
    """Hash what a file says at this moment; None where there is none."""
    try:
        return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    except OSError:
        return None


def _imports(node: ast.AST, file: Path, deferred: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield what the statements below a node import, and whether a call has to happen first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, deferred) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level or child.module is None:
                raise ValueError(f"{file}: relative import; write the package's name")
            yield child.module, deferred
            yield from ((f"{child.module}.{alias.name}", deferred) for alias in child.names)
        else:
            called = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _imports(child, file, deferred or called)


# A string or a character, which is kept, or a comment, which is not.
_TOKEN = re.compile(rb'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)


def _without_comments(content: bytes) -> bytes:
    """Remove the comments of C++ and the spaces before the end of a line."""
    kept = _TOKEN.sub(lambda found: b" " if found[0][:1] == b"/" else found[0], content)
    return b"\n".join(line.rstrip() for line in kept.split(b"\n") if line.strip())


class _WithoutDocstrings(ast.NodeTransformer):
    """Remove statements that are only text: docstrings, those below an attribute too."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node


@cache
def _module_file(name: str, root: Path) -> Path | None:
    """Return the file of one of the project's own modules."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = root.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def module_name(file: Path, root: Path = PROJECT) -> str:
    """Return the dotted name of a file."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imported_parts(names: frozenset[str], root: Path) -> frozenset[str]:
    """Return the parts of the project's modules among these names.

    Packages that only hold what is imported are none of them: their names say nothing new.
    """
    files = (_module_file(name, root) for name in names)
    return frozenset(_part(file, root) for file in files if file is not None)


def _part(file: Path, root: Path) -> str:
    """Return the name of the part that a file belongs to."""
    return "/".join(file.relative_to(root).parts[:2])


def _files(part: str, root: Path) -> list[Path]:
    """Return the code of a part and the data that lie with it; not what only starts a command."""
    path = root / part
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.suffix in (".py", *DATA))
    return sorted(x for x in found if x.name != "__main__.py" and not x.name.startswith("."))


def parts_of(modules: Iterable[str], root: Path = PROJECT) -> list[str]:
    """Return the parts of the project that modules run; names of other modules are passed over.

    Raises
    ------
    FileNotFoundError
        One of them has no file, so nothing could be said of its code.
    """
    todo = set()
    for module in modules:
        if module.partition(".")[0] in PACKAGES:
            file = _module_file(module, root)
            if file is None:
                raise FileNotFoundError(f"{module}: no source file below {root}")
            todo.add(_part(file, root))
    found: set[str] = set()
    while todo:
        part = todo.pop()
        found.add(part)
        code = (file for file in _files(part, root) if file.suffix == ".py")
        todo |= {x for file in code for x in _imported_parts(read(file).imports, root)} - found
    return sorted(found)


def files_of(modules: Iterable[str], root: Path = PROJECT) -> dict[str, Path]:
    """Return all files of the parts that modules run, by name."""
    files = (file for part in parts_of(modules, root) for file in _files(part, root))
    return {file.relative_to(root).as_posix(): file for file in files}


def code_of(stage: str, root: Path = PROJECT) -> dict[str, str]:
    """Return digests of all code that decides what a stage makes, by file.

    Comments, docstrings and layout do not matter; any other edit does, wherever it is.
    """
    return dict(_own_code(stage)) if root == PROJECT else _code(stage, root)


@cache
def _own_code(stage: str) -> dict[str, str]:
    return _code(stage, PROJECT)


def _code(stage: str, root: Path) -> dict[str, str]:
    files = files_of([f"pipeline.{stage}"], root)
    return {name: read(file).meaning for name, file in files.items()}
