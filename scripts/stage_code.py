"""Find the code each stage of dvc.yaml runs, by following imports; `--write` puts it there.

DVC re-runs a stage when a file it depends on changes, so a file that is missing from its list
makes results stale in silence. What lies beside a package's code and is read by it (style sheets,
scripts, tables) belongs to the code of whoever imports the package. tests/test_imports.py compares
the lists with what this finds.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gsa_core", "pipeline")
STAGES = ("prepare", "sweep", "confirm", "report")
DATA_OF_PACKAGES = ("kernel/*", "*.css", "*.js", "*.html", "*.csv")


def module_file(name: str) -> Path | None:
    """File of one of the project's own modules."""
    path = ROOT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def imports(file: Path, deferred: bool = True) -> frozenset[str]:
    """Dotted names that a file imports when run, those inside functions too if `deferred`."""
    return frozenset(_imports(ast.parse(file.read_text(), str(file)), file, deferred))


def _imports(node: ast.AST, file: Path, deferred: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not deferred:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level or child.module is None:
                raise ValueError(f"{file}: relative import; write the package's name")
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _imports(child, file, deferred)


def own(file: Path, deferred: bool = True) -> set[Path]:
    """The project's files that a file imports, with the packages that hold them."""
    found = set()
    for name in imports(file, deferred):
        parts = name.split(".")
        if parts[0] in PACKAGES:
            ends = range(1, len(parts) + 1)
            found |= {module_file(".".join(parts[:end])) for end in ends}
    return {target for target in found if target is not None}


def closure(start: set[Path]) -> set[Path]:
    """Every file of the project that files import, directly or not."""
    found: set[Path] = set()
    todo = set(start)
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= own(file) - found
    return found


def entry(stage: str) -> set[Path]:
    """Files that Python runs for ``python -m pipeline.<stage>``."""
    package = ROOT / "pipeline" / stage
    files = {ROOT / "pipeline" / "__init__.py"}
    if package.is_dir():
        files |= {package / "__init__.py", package / "__main__.py"}
    else:
        files.add(package.with_suffix(".py"))
    if stage == "prepare":  # a data set is imported by the name its registry gives
        files |= set((ROOT / "pipeline" / "datasets").glob("*.py"))
    return files


def data_of(files: set[Path]) -> set[Path]:
    """What lies beside the code of the packages among files, as pyproject.toml ships it."""
    folders = {file.parent for file in files if file.name == "__init__.py"}
    return {found for folder in folders for kind in DATA_OF_PACKAGES for found in folder.glob(kind)}


def stage_code(stage: str) -> list[str]:
    """Paths of the code a stage runs, and of its packages' data, as dvc.yaml lists them."""
    code = closure(entry(stage))
    return sorted(file.relative_to(ROOT).as_posix() for file in code | data_of(code))


def with_code(text: str) -> str:
    """The text of dvc.yaml with the code dependencies of every stage replaced."""
    lines: list[str] = []
    stage = ""
    for line in text.splitlines():
        if line.startswith("  ") and not line.startswith("   ") and line.strip()[:-1] in STAGES:
            stage = line.strip()[:-1]
        if not line.startswith(tuple(f"      - {package}/" for package in PACKAGES)):
            lines.append(line)
        if line == "    deps:":
            lines += [f"      - {path}" for path in stage_code(stage)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the code of every stage, or write it."""
    if sys.argv[1:] == ["--write"]:
        file = ROOT / "dvc.yaml"
        file.write_text(with_code(file.read_text()))
        return
    for stage in STAGES:
        print(f"{stage}:", *stage_code(stage), sep="\n  ")


if __name__ == "__main__":
    main()
