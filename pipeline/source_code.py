"""Which files of the project a module runs, found by following its imports, and their digests.

DVC's lists of dependencies (`scripts/stage_code.py`), the hash that names the state of a stage,
and the check that workers run the driver's code all ask here, so that none of them is kept by
hand. A file is read once a process: a later edit is not what this process has loaded.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.errors import UserError

__all__ = ["PROJECT", "code_of", "entry", "files_of", "module_name", "raw_digest", "read"]

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("gsa_core", "pipeline")
# Data that code reads: these kinds of files, in the folder of a package or below it.
DATA = (".cpp", ".css", ".csv", ".cu", ".h", ".html", ".js", ".json", ".toml", ".txt", ".yaml")


@dataclass(frozen=True)
class Source:
    """What a file said when it was read.

    Attributes
    ----------
    raw
        SHA-256 of its bytes; line ends do not matter.
    meaning
        The same without comments, docstrings and layout, where it is Python.
    imports, at_import
        Dotted names that it imports when it is run, and of these what it imports at once.
    """

    raw: str
    meaning: str
    imports: frozenset[str] = frozenset()
    at_import: frozenset[str] = frozenset()


@cache
def read(file: Path) -> Source:
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
    if file.suffix != ".py":
        return Source(raw, raw)
    try:
        tree = ast.parse(content, str(file))
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno}: not valid Python ({error.msg}); fix it") from None
    found = list(_imports(tree, file))
    _drop_docstrings(tree)
    return Source(
        raw,
        hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
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


def _drop_docstrings(tree: ast.AST) -> None:
    """Remove what stands first in modules, classes and functions and is only text."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]


@cache
def _module_file(name: str, root: Path) -> Path | None:
    """Return the file of one of the project's own modules."""
    path = root.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def module_name(file: Path, root: Path = PROJECT) -> str:
    """Return the dotted name of a file."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files_named(names: Iterable[str], root: Path) -> set[Path]:
    """Return the files of modules of the project, with the packages that hold them."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] in PACKAGES:
            ends = range(1, len(parts) + 1)
            found |= {_module_file(".".join(parts[:end]), root) for end in ends}
    return {file for file in found if file is not None}


def own(file: Path, deferred: bool = True, root: Path = PROJECT) -> set[Path]:
    """Return the project's files that a file imports, those inside functions too if `deferred`."""
    source = read(file)
    return _files_named(source.imports if deferred else source.at_import, root)


def closure(start: Iterable[Path], root: Path = PROJECT) -> set[Path]:
    """Return every file of the project that files import, directly or not, and those files."""
    found: set[Path] = set()
    todo = set(start)
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= own(file, root=root) - found
    return found


def data_of(files: Iterable[Path]) -> set[Path]:
    """Return the data that lie with the code of the packages among files."""
    found: set[Path] = set()
    todo = [file.parent for file in files if file.name == "__init__.py"]
    while todo:
        for path in todo.pop().iterdir():
            if path.is_file() and path.suffix in DATA and not path.name.startswith("."):
                found.add(path)
            elif path.is_dir() and not (path / "__init__.py").exists():
                todo.append(path)
    return found


def files_of(modules: Iterable[str], root: Path = PROJECT) -> dict[str, Path]:
    """Return all that modules of the project run and read, by name.

    Names of other modules are passed over.

    Raises
    ------
    FileNotFoundError
        One of them has no file, so nothing could be said of its code.
    """
    start: set[Path] = set()
    for module in modules:
        if module.partition(".")[0] in PACKAGES:
            if _module_file(module, root) is None:
                raise FileNotFoundError(f"{module}: no source file below {root}")
            start |= _files_named([module], root)
    code = closure(start, root)
    return {file.relative_to(root).as_posix(): file for file in sorted(code | data_of(code))}


def entry(stage: str, root: Path = PROJECT) -> list[str]:
    """Return the modules that ``python -m pipeline.<stage>`` runs."""
    package = root / "pipeline" / stage
    modules = [f"pipeline.{stage}"]
    if package.is_dir():
        modules.append(f"pipeline.{stage}.__main__")
    if stage == "prepare":  # a data set is imported by the name its registry gives
        files = (root / "pipeline" / "datasets").glob("*.py")
        modules += sorted(module_name(file, root) for file in files)
    return modules


def code_of(stage: str, root: Path = PROJECT) -> dict[str, str]:
    """Return digests of all code that decides what a stage makes, by file.

    Comments, docstrings and layout do not matter; any other edit does, wherever it is.
    """
    files = files_of(entry(stage, root), root)
    return {name: read(file).meaning for name, file in files.items()}
