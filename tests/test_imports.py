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
from stage_code import ROOT, STAGES, stage_code

from pipeline.source_code import module_name, own, read

# Each module may import those before it; a name that is missing here is a new idea to place.
ORDER = (
    "checks", "factory", "constants", "identity", "network", "groups", "layout", "positional",
    "tiling", "relative", "rotary", "published", "dropout", "derivatives", "convolution", "attend",
    "compiler", "compiled", "structures", "selftest", "fused", "operators", "attention", "layers",
    "tokens", "transformer", "baselines", "staged", "published_networks", "models",
    "checkpoint", "motion", "equivariance", "cost",
)  # fmt: skip

# What reads params.yaml as a whole, to check it.
READERS = {
    "params.py", "problems.py", "study_rules.py", "value_kinds.py", "model_kinds.py",
    "model_rules.py",
}  # fmt: skip

# Import names that differ from the name of the package.
PACKAGES = {
    "PIL": "pillow",
    "pydantic_core": "pydantic",
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
        "import sys, torch; before = set(sys.modules)\n"
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
    assert as_packages(outside("gsa_core")) <= declared()


def test_pipeline_imports_only_declared_packages() -> None:
    assert as_packages(outside("pipeline")) <= declared("study")


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pinned = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    assert declared("study", "dev") <= pinned


def test_library_imports_point_one_way() -> None:
    wrong = {
        f"{file.stem} imports {other.stem}"
        for file in files("gsa_core")
        if file.stem != "__init__"
        for other in own(file) - {ROOT / "gsa_core" / "__init__.py"}
        if other.stem not in ORDER[: ORDER.index(file.stem)]
    }
    assert not wrong


def modules_at_import(file: Path) -> set[Path]:
    """Modules that importing a file imports; through a package's __init__ all reach all."""
    return {other for other in own(file, deferred=False) if other.stem != "__init__"}


def test_no_module_imports_itself_in_a_circle() -> None:
    next_to = {file: modules_at_import(file) for file in files("pipeline")}
    circles = []
    for file, todo in next_to.items():
        found: set[Path] = set()
        todo = set(todo)
        while todo:
            other = todo.pop()
            found.add(other)
            todo |= next_to.get(other, set()) - found
        if file in found:
            circles.append(module_name(file))
    assert not circles


@cache
def dvc_stages() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return stages


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_code_it_imports(stage: str) -> None:
    listed = {dep for dep in dvc_stages()[stage]["deps"] if not dep.startswith("data/")}
    assert listed == set(stage_code(stage)), "run `python scripts/stage_code.py --write`"


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
    code = {ROOT / name for name in stage_code(stage) if name.endswith(".py")}
    code = {file for file in code if file.name not in READERS}
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
    used = {
        name for file in files("pipeline") if file.name not in READERS for name in accessed(file)
    }
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    searched = set(values["sweep"]["search_space"])  # names of hyperparameters, not attributes
    assert set(keys(values)) - searched <= used


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


@pytest.mark.parametrize(
    "command",
    [["-m", "pipeline", "check"], ["-m", "pipeline", "summary"], ["scripts/stage_code.py"]],
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
