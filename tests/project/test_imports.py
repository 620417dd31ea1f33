"""What imports what: one direction, no cycles, only declared packages, complete stages."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.execution.code_dependencies import PROJECT as ROOT
from pipeline.execution.code_dependencies import files_of, parts_of, read
from pipeline.study.models import AXES

STAGES = ("prepare", "sweep", "confirm", "report")
# A package imports those on the lines above it, none beside or below it.
LIBRARY = (
    ("common",), ("groups", "resample"), ("nn",), ("attention",), ("equivariance", "models"),
    ("check", "cost", "figures", "hub", "interoperability"),
    ("gsa_core",),
)  # fmt: skip
PIPELINE = (
    ("common",), ("study",), ("dataset", "results", "search"),
    ("prepare", "training", "report", "tracking"), ("execution",),
    ("confirm", "sweep"), ("tools",), ("__main__",),
)  # fmt: skip

# What checks params.yaml as a whole.
READERS = set((ROOT / "pipeline" / "study").rglob("*.py"))

# Import names that differ from the name of the package.
PACKAGES = {
    "PIL": "pillow",
    "huggingface_hub": "huggingface-hub",
    "pydantic_core": "pydantic",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def files(package: str) -> list[Path]:
    """Every Python file of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def outside(package: str) -> set[str]:
    """Names of the packages from elsewhere that a package imports."""
    tops = {name.split(".")[0] for file in files(package) for name in read(file).imports}
    return tops - set(sys.stdlib_module_names) - {"gsa_core", "pipeline"}


def declared(*extras: str) -> set[str]:
    """Names of the packages that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    return {re.split(r"[\[<>=~!; ]", item)[0].lower() for items in lists for item in items}


def as_packages(names: set[str]) -> set[str]:
    """Translate import names to package names."""
    return {PACKAGES.get(name, name).lower() for name in names}


def test_library_never_imports_the_pipeline() -> None:
    for file in files("gsa_core"):
        assert not any(name.split(".")[0] == "pipeline" for name in read(file).imports), file


def test_importing_the_library_takes_little_beside_torch() -> None:
    """By what is loaded: a few modules, none of them slow, and nothing is compiled."""
    code = (
        "import sys, torch, torch.utils.flop_counter; before = set(sys.modules)\n"
        "import gsa_core; print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = run.stdout.split()
    tops = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert tops <= {"gsa_core", "jaxtyping", "numpy", "torch"}
    assert len([name for name in loaded if not name.startswith("gsa_core")]) < 30
    assert "torch._dynamo" not in loaded, "a compiler whose import takes seconds"


def test_library_imports_only_its_own_dependencies() -> None:
    assert as_packages(outside("gsa_core")) <= declared("hub", "figures", "triton")


def test_pipeline_imports_only_declared_packages() -> None:
    extras = ("mlflow", "trackio", "wandb", "tensorboard")
    assert as_packages(outside("pipeline")) <= declared("study", *extras)


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pinned = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    assert declared("study", "dev", "triton") <= pinned


def all_imports(file: Path) -> set[str]:
    """Dotted names that a file imports anywhere, for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def as_file(name: str) -> Path | None:
    """The file of a module of the project."""
    path = ROOT.joinpath(*name.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return found[0] if found and name.split(".")[0] in ("gsa_core", "pipeline") else None


def imported_files(file: Path) -> set[Path]:
    """Files of the project that a file imports anywhere."""
    found = {as_file(name) for name in all_imports(file)}
    return {other for other in found if other is not None and other != file}


def package(file: Path) -> str:
    """Name of the package, or of the file beside packages, that a file belongs to."""
    parts = file.relative_to(ROOT).with_suffix("").parts[:2]
    return parts[0] if parts[-1] == "__init__" else parts[-1]


@pytest.mark.parametrize(("name", "order"), [("gsa_core", LIBRARY), ("pipeline", PIPELINE)])
def test_packages_import_only_those_above_them(name: str, order: tuple[tuple[str, ...]]) -> None:
    level = {part: number for number, parts in enumerate(order) for part in parts}
    wrong = {
        f"{file.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for file in files(name)
        for other in imported_files(file)
        if other.is_relative_to(ROOT / name) and package(file) not in (package(other), name)
        if level[package(other)] >= level[package(file)]
    }
    assert not wrong


def circle(next_to: dict[Path, set[Path]]) -> list[Path]:
    """Files that import themselves by way of others."""
    found = []
    for file, first in next_to.items():
        seen: set[Path] = set()
        todo = set(first)
        while todo:
            other = todo.pop()
            seen.add(other)
            todo |= next_to.get(other, set()) - seen
        if file in seen:
            found.append(file)
    return found


@pytest.mark.parametrize("name", ["gsa_core", "pipeline"])
def test_no_module_imports_itself_in_a_circle(name: str) -> None:
    assert not circle({file: imported_files(file) for file in files(name)})


def test_control_a_circle_is_found() -> None:
    a, b, c = (Path(name) for name in "abc")
    assert circle({a: {b}, b: {c}, c: {b}}) == [b, c]


def test_only_execution_imports_ray() -> None:
    importers = {package(f) for f in files("pipeline") if "ray" in tops(all_imports(f))}
    assert importers == {"execution"}


def tops(names: set[str]) -> set[str]:
    """Names of the packages that modules belong to."""
    return {name.split(".")[0] for name in names}


@cache
def dvc_stages() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return stages


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_packages_it_imports(stage: str) -> None:
    listed = {dep for dep in dvc_stages()[stage]["deps"] if not dep.startswith("data/")}
    needed = set(parts_of([f"pipeline.{stage}"]))
    if "gsa_core" in listed:  # as a whole
        needed = {part for part in needed if not part.startswith("gsa_core/")} | {"gsa_core"}
    assert listed == needed


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_described_and_named_after_its_module(stage: str) -> None:
    assert dvc_stages()[stage]["desc"]
    assert dvc_stages()[stage]["cmd"] == f"python -m pipeline.{stage}"


def test_stages_are_these() -> None:
    assert tuple(dvc_stages()) == STAGES


def sections(file: Path) -> Iterator[str]:
    """Sections of params.yaml that a file reads, as ``params.<section>``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "params":
            yield node.attr


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_every_section_it_reads(stage: str) -> None:
    known = set(yaml.safe_load((ROOT / "params.yaml").read_text()))
    code = files_of([f"pipeline.{stage}"]).items()
    code = {file for name, file in code if name.endswith(".py") and file not in READERS}
    read = {name for file in code for name in sections(file)} & known
    listed = {name.split(".")[0] for name in dvc_stages()[stage]["params"]}
    assert read - {"resources"} <= listed


def accessed(file: Path) -> Iterator[str]:
    """Names of the attributes that a file reads."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr


def keys(values: Any) -> Iterator[str]:
    """Every key of nested mappings."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key
            yield from keys(value)


def test_every_parameter_is_consumed() -> None:
    parts = ("cells", "tuning", "data_schema", "patches")
    of_cells = {ROOT / f"pipeline/study/{name}.py" for name in parts}
    readers = set(READERS) - of_cells  # these say which cells, images and tokens there are
    used = {name for file in files("pipeline") if file not in readers for name in accessed(file)}
    values = yaml.safe_load((ROOT / "studies/symmetry.yaml").read_text())
    names = set(values["sweep"]["search_space"]) | set(values["sweep"]["tuned_on"])
    assert set(keys(values)) - names <= used | set(AXES)  # cells are combinations of the axes


def test_text_is_utf8_whatever_the_locale() -> None:
    folders = ["pipeline", "gsa_core", "scripts"]
    rule = ["--isolated", "--preview", "--select", "PLW1514", "--output-format", "concise"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", *rule, *folders],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stdout and not done.stderr
    decoded = [file for name in folders for file in files(name) if "text=True" in file.read_text()]
    assert not decoded, "a program's output: name its encoding instead"


UNUSUAL = "# \u00e4\u6f22"


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "command",
    [["-m", "pipeline", "check"], ["-m", "pipeline", "summary"]],
    ids=lambda command: command[-1],
)
def test_a_locale_without_letters_changes_nothing(command: list[str], tmp_path: Path) -> None:
    for name in ("pipeline", "gsa_core", "scripts", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(f"{UNUSUAL}\n{text}", encoding="utf-8")
    (tmp_path / "reports").mkdir()
    found = json.dumps({"summary": UNUSUAL}, ensure_ascii=False)
    (tmp_path / "reports/metrics.json").write_text(found, encoding="utf-8")
    said = [
        subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, check=True,
            env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": mode, "PYTHONCOERCECLOCALE": "0",
                 "PYTHONPATH": str(ROOT)},
        ).stdout
        for mode in "01"
    ]  # fmt: skip
    assert said[0] == said[1].decode().encode("ascii", "backslashreplace")
