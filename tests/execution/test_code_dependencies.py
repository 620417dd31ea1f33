"""Whatever decides results is part of what names their state."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.common.errors import UserError
from pipeline.execution import code_dependencies, state_folder
from pipeline.execution.code_dependencies import (
    DATA,
    PACKAGES,
    PROJECT,
    SourceFile,
    code_of,
    files_of,
    read,
)
from pipeline.results.provenance import LIBRARIES
from pipeline.sweep import stage as sweep

# These carry, check or write values that are decided elsewhere.
CARRIERS = {"jaxtyping", "pandas", "pyarrow", "pydantic", "pydantic_core", "safetensors", "yaml"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the two packages, in which files may be edited."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, root / package, ignore=ignored)
    return root


Edited = Callable[[str, str], dict[str, str]]


@pytest.fixture
def edited(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    """Return the code of a stage while one file has another text; others are not read again."""

    def code(stage: str, name: str, text: str) -> dict[str, str]:
        file = copy / name
        before = file.read_text()
        file.write_text(text)

        def read_edited(other: Path) -> SourceFile:
            return read.__wrapped__(other) if other == file else read(other)

        monkeypatch.setattr(code_dependencies, "read", read_edited)
        try:
            return code_of(stage, copy)
        finally:
            file.write_text(before)
            monkeypatch.undo()

    return code


@pytest.mark.sampled(1)
@pytest.mark.parametrize("stage", ["sweep", "confirm"])
def test_an_edit_of_any_file_changes_the_code_of_a_stage(
    stage: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_of(stage, copy)
    assert before == code_of(stage), "a copy elsewhere is the same code"
    texts = {copy / name: (copy / name).read_text() for name in before}
    monkeypatch.setattr(code_dependencies, "read", read.__wrapped__)
    try:
        for file, text in texts.items():
            edit = "\nEDITED = 1\n" if file.suffix == ".py" else "\nint edited;\n"
            file.write_text(text + edit)
        after = code_of(stage, copy)
    finally:
        for file, text in texts.items():
            file.write_text(text)
    assert len(before) > 60 and before.keys() == after.keys()
    assert [name for name in before if before[name] == after[name]] == []
    assert any(name.endswith(".cpp") for name in before), "the kernel decides results too"


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("pipeline/study/schema.py", "GENERATION = 10", "GENERATION = 5"),
        ("pipeline/study/models.py", "_ATTENTION = ", "_ATTENTION = _DEPTH = "),
        ("pipeline/sweep/cell_search.py", "return", "return None or"),
        ("pipeline/dataset/store.py", "import numpy as np", "import numpy as np, bisect"),
        ("gsa_core/attention/backends/kernel/window_attention.h", "for (", "for  ("),
    ],
)
def test_what_decides_trials_renames_their_state(
    name: str, old: str, new: str, copy: Path, edited: Any
) -> None:
    text = (copy / name).read_text()
    assert old in text
    changed = edited("sweep", name, text.replace(old, new, 1))
    before = code_of("sweep")
    assert {file for file in changed if changed[file] != before[file]} == {name}
    definition = sweep.definition(fake_study.study(), b"card")
    assert definition["code"] == before
    path = state_folder.state_path("sweep", definition)
    assert path != state_folder.state_path("sweep", {**definition, "code": changed})


@pytest.mark.parametrize("new", ["# why\n", '"""Another docstring."""\n', "\n\n", "\r\n"])
def test_comments_docstrings_and_layout_decide_nothing(new: str, edited: Any) -> None:
    name = "pipeline/sweep/__init__.py"
    text = new + (PROJECT / name).read_text().split('"""')[-1]
    assert edited("sweep", name, text) == code_of("sweep")


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    x: int = 1\n    {}\n    y = 2\n",
        "WIDTH = 3\n{}\n",
        "class A:\n    def __init__(self):\n        self.x = 1\n        {}\n",
        "if WIDTH:\n    x = 1\n    {}\nelse:\n    {}\n",
        "async def f():\n    {}\n",
    ],
    ids=["field", "module", "instance", "branch", "function"],
)
def test_docstrings_decide_nothing_wherever_they_stand(code: str, tmp_path: Path) -> None:
    def meaning(text: str) -> str:
        file = tmp_path / "a.py"
        file.write_text(code.replace("{}", text))
        return read.__wrapped__(file).meaning

    assert meaning('"""One wording."""') == meaning("'Another'")
    assert meaning('"""One wording."""') != meaning("f(1)")
    assert meaning("f('one')") != meaning("f('two')"), "text that is used is code"


def test_wording_of_a_parameter_keeps_the_state_of_a_sweep(edited: Any) -> None:
    name = "pipeline/study/schema.py"
    text = (PROJECT / name).read_text()
    found = re.search(r'^    [a-z_]+: .*\n    """(\w+)', text, re.MULTILINE)
    assert found, "no field has a docstring"
    reworded = f"{text[: found.start(1)]}Reworded{text[found.end(1) :]}"
    assert edited("sweep", name, reworded) == code_of("sweep")


@pytest.mark.parametrize("new", ["// why\n", "/* why\nnot */\n", "\n\n"])
def test_comments_of_the_kernel_decide_nothing(new: str, edited: Any) -> None:
    name = "gsa_core/attention/backends/kernel/window_attention.h"
    text = (PROJECT / name).read_text()
    assert edited("sweep", name, new + text) == code_of("sweep")
    assert edited("sweep", name, 'const char *a = "//";\n' + text) != code_of("sweep")


@pytest.mark.parametrize("package", ["report", "tools", "prepare"])
def test_what_a_stage_does_not_import_is_not_its_code(package: str) -> None:
    for stage in ("sweep", "confirm"):
        assert not [name for name in code_of(stage) if name.startswith(f"pipeline/{package}/")]
        assert not [name for name in code_of(stage) if name.split("/")[0] not in PACKAGES]


def test_a_new_module_and_a_new_table_become_part_of_it(copy: Path, edited: Any) -> None:
    module, table = copy / "pipeline/search/fresh.py", copy / "pipeline/search/table.json"
    module.write_text("")
    table.write_text("[]")
    try:
        text = (copy / "pipeline/sweep/stage.py").read_text()
        inside = text.replace(
            "def main(params: Params) -> None:",
            "def main(params: Params) -> None:\n    import pipeline.search.fresh",
        )
        code = edited("sweep", "pipeline/sweep/stage.py", inside)
        assert {"pipeline/search/fresh.py", "pipeline/search/table.json"} <= code.keys()
    finally:
        module.unlink()
        table.unlink()


def test_no_module_is_imported_by_a_name_that_is_made_up_at_run_time() -> None:
    """Imports that no analysis sees would be missing from the code; the check imports that code."""
    for stage in ("sweep", "confirm"):
        dynamic = {
            name
            for name, file in files_of([f"pipeline.{stage}"]).items()
            if any(word in file.read_text() for word in ("import_module(", "__import__("))
        }
        # The command line, which runs a module of a command, and tools that are told of finished
        # trials decide no result.
        assert dynamic == {
            "pipeline/execution/code_version.py", "pipeline/common/commands.py",
            "pipeline/execution/live_tracking.py",
        }  # fmt: skip


def test_the_libraries_that_decide_results_are_those_imported() -> None:
    packages = ("gsa_core", "dataset", "search", "training", "sweep", "confirm")
    code = files_of(["pipeline.sweep", "pipeline.confirm"])
    files = [file for name, file in code.items() if set(packages) & set(name.split("/")[:2])]
    files = [file for file in files if file.suffix == ".py"]
    imported = {name.split(".")[0] for file in files for name in read(file).imports}
    others = imported - set(sys.stdlib_module_names) - set(PACKAGES)
    # `auto`, which trains the networks of a study, never chooses Triton.
    assert others - CARRIERS - {"triton"} == set(LIBRARIES) == set(state_folder.versions())


def test_data_that_are_shipped_are_data_that_are_seen() -> None:
    shipped = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for package, patterns in shipped["package-data"].items():
        for file in (file for pattern in patterns for file in (PROJECT / package).glob(pattern)):
            assert file.suffix in DATA or file.name == "py.typed"


def test_a_module_without_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pipeline\.sweep"):
        code_of("sweep", tmp_path)


def test_a_half_saved_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("def f(:\n")
    with pytest.raises(UserError, match=r"half\.py:1: not valid Python"):
        read(tmp_path / "half.py")


def test_sources_hold_what_they_import(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport os.path\nif TYPE_CHECKING:\n    import no\n"
        "try:\n    import tried\nexcept ImportError:\n    import other\n"
        "class A:\n    import inner\n    def f(self):\n        from x import y\n"
    )
    source = read(file)
    assert source.at_import == {
        "typing", "typing.TYPE_CHECKING", "os.path", "tried", "other", "inner",
    }  # fmt: skip
    assert source.imports - source.at_import == {"x", "x.y"}
    assert replace(source, raw="") != source
