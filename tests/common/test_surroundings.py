"""What a machine may lack or have too much of: paths, room, git, packages of another Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections import namedtuple
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.common import errors
from pipeline.common.errors import UserError
from pipeline.execution import local_ray
from pipeline.execution import run_stage as stage
from pipeline.execution.engine import make_engine
from pipeline.execution.local_ray import check_local_ray, interpreter
from pipeline.results import provenance
from pipeline.tools import pin
from pipeline.tools.support import history

PYTHON = "/env/bin/python"
PROGRAM = "#!/bin/sh\nenv | grep -E '^(PYTHONPATH|PYTHONHOME|PYTHONNOUSERSITE|GIT_DIR)=' || true\n"


@pytest.mark.parametrize("path", ["/my env/python", "/a;b(c)/python", "/a&b/python"])
def test_a_path_that_a_shell_takes_apart_is_quoted(path: str) -> None:
    check_local_ray({}, path)
    assert interpreter(path) == {"runtime_env": {"py_executable": f"'{path}'"}}


@pytest.mark.parametrize("path", [PYTHON, "/opt/python3.11/bin/python"])
def test_an_ordinary_path_is_left_as_it_is(path: str) -> None:
    assert interpreter(path) == {}


@pytest.mark.parametrize(
    ("environment", "python", "sentence"),
    [
        ({}, '/q"x/python', "starts no worker of a Python whose path holds"),
        ({}, "/d$HOME/python", "starts no worker of a Python whose path holds '\\$'"),
        ({}, "/b\\x/python", "starts no worker of a Python whose path holds"),
        ({"TMPDIR": "/tmp/" + "x" * 60}, PYTHON, "xxx: is too long a path for Ray's sockets"),
        ({"RAY_TMPDIR": "/tmp/" + "é" * 20}, PYTHON, "é: is too long a path for Ray's sockets"),
        ({"RAY_TMPDIR": "/proc/none"}, PYTHON, "/proc/none: Ray cannot write there; set RAY_TMP"),
        ({"TMPDIR": "/dev/null/x"}, PYTHON, "/dev/null/x: Ray cannot write there"),
    ],
)
def test_what_ray_cannot_have_is_said_with_the_way_out(
    environment: dict[str, str], python: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_ray.os, "access", lambda path, mode: str(path) != "/proc")
    with pytest.raises(UserError, match=sentence) as error:
        check_local_ray(environment, python)
    assert "GSA_ENGINE=in-process" in str(error.value)


def test_the_engine_is_not_made_where_ray_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GSA_ENGINE", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    with pytest.raises(UserError, match="RAY_TMPDIR"):
        make_engine(fake_study.study().resources, tmp_path)
    monkeypatch.setenv("GSA_ENGINE", "in-process")
    make_engine(fake_study.study().resources, tmp_path)


def test_a_full_disk_is_said_before_the_stage_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 3_000_000))
    with pytest.raises(UserError, match=r"has 3\.00 MB free, and a stage writes more; make room"):
        stage.check_room(Path())


@pytest.mark.parametrize("code", sorted(errors.REFUSALS))
def test_what_a_file_system_refuses_is_one_sentence(code: int, capsys: Any) -> None:
    def refused() -> None:
        raise OSError(code, os.strerror(code), "some/file")

    with pytest.raises(SystemExit) as ending:
        errors.main(refused)
    assert ending.value.code == 2
    assert capsys.readouterr().err == (
        f"error: some/file: cannot be used, because {errors.REFUSALS[code]}\n"
    )


BROKEN = {
    "an import that fails": "raise ImportError('of another Python')",
    "a syntax of another time": "print 'hello'",
    "a missing name": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_package_of_another_python_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "foreign_yaml").mkdir()
    (tmp_path / "foreign_yaml/__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign_yaml", raising=False)

    def imports() -> None:
        from foreign_yaml import safe_load  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(SystemExit) as ending:
        errors.main(imports)
    said = capsys.readouterr().err
    assert ending.value.code == 2 and said.count("\n") == 1
    assert said.startswith(f"error: {tmp_path}/foreign_yaml/__init__.py: a package from outside")
    assert "unset PYTHONPATH" in said


def test_a_package_that_is_missing_is_named(capsys: Any) -> None:
    def imports() -> None:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(SystemExit):
        errors.main(imports)
    assert "lacks the package no_such_package; use the environment" in capsys.readouterr().err


def test_a_module_of_our_own_that_is_missing_is_a_defect() -> None:
    def imports() -> None:
        import pipeline.nothing  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(ModuleNotFoundError):
        errors.main(imports)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """A repository with the Makefile, and an environment whose programs print theirs."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "clone"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text(PROGRAM)
    (tmp_path / "bin/python").chmod(0o755)
    folder.mkdir()
    shutil.copy(root / "Makefile", folder)
    git(folder, "init", "-q")
    git(folder, "add", "Makefile")
    git(folder, "commit", "-qm", "x")
    return folder


def make(
    folder: Path, *, target: str = "study", environment: str = "..", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target, f"VENV={environment}"], cwd=folder, env={**os.environ, **more},
        capture_output=True, text=True,
    )  # fmt: skip


def test_make_leaves_out_other_packages_and_repositories(clone: Path) -> None:
    done = make(clone, PYTHONPATH="/x", PYTHONHOME="/y", GIT_DIR="/nowhere")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"PYTHONNOUSERSITE=1"}


def no_python(folder: Path) -> None:
    """Make a folder that is no environment."""


def python_that_is_gone(folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to("/nowhere/python")


def python_alone(folder: Path) -> None:
    venv.create(folder, symlinks=True)


WITHOUT = r"lacks jaxtyping, numpy, .*dvc.*; install them with .*/bin/python -m pip install"


@pytest.mark.parametrize("target", ["study", "test"])
@pytest.mark.parametrize("name", ["env", "my env's"])
@pytest.mark.parametrize(
    ("fill", "sentence"),
    [
        (no_python, "has no bin/python that runs; name an environment, or leave VENV out"),
        (python_that_is_gone, "has no bin/python that runs; name an environment"),
        (python_alone, WITHOUT),
    ],
)
def test_make_refuses_what_is_no_environment(
    fill: Any, sentence: str, name: str, target: str, clone: Path, root: Path
) -> None:
    (clone / "scripts").mkdir()
    shutil.copy(root / "scripts/make_environment.py", clone / "scripts")
    shutil.copy(root / "pyproject.toml", clone)
    (clone / name).mkdir()
    fill(clone / name)
    done = make(clone, target=target, environment=name)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode == 2 and len(said) == 1 and not done.stdout, done
    assert re.search(f"^error: .*{name}: {sentence}", said[0])
    assert ("ruff" in said[0]) is (target == "test" and fill is python_alone)


@pytest.mark.parametrize("environment", ["/nowhere", ""])
def test_make_refuses_an_environment_that_is_not_there(environment: str, clone: Path) -> None:
    done = make(clone, environment=environment)
    assert done.returncode == 2 and "has no bin/python that runs" in done.stderr


def test_make_shows_why_git_takes_a_folder_for_no_clone(clone: Path) -> None:
    done = make(clone, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert done.returncode == 2 and "dubious ownership" in done.stderr
    assert "git config --global --add safe.directory" in done.stderr
    shutil.rmtree(clone / ".git")
    done = make(clone, GIT_CEILING_DIRECTORIES=str(clone.parent))
    assert done.returncode == 2 and "not a git repository" in done.stderr
    git(clone.parent, "init", "-q")  # a copy within another repository
    done = make(clone)
    assert done.returncode == 2 and "did not match any file" in done.stderr


def test_a_copy_within_another_repository_has_no_commit(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_ROOT", clone)
    monkeypatch.setattr(provenance, "__file__", str(clone / "pipeline/__init__.py"))
    found = provenance.provenance({}, None)
    assert found["git_commit"] is None and found["git_dirty"] is None
    (clone / "pipeline").mkdir()
    (clone / "pipeline/stage.py").touch()
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "y")
    monkeypatch.setattr(provenance, "__file__", str(clone / "pipeline/stage.py"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert provenance.provenance({}, None)["git_commit"]


def test_git_is_told_with_all_it_says(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match=r"dubious ownership .* git config --global --add safe"):
        history.git("status")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="needs git, which is not on the PATH"):
        history.git("status")


def test_pin_without_an_identity_says_how_to_give_one(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(clone, "config", "user.useConfigOnly", "true")
    with pytest.raises(UserError, match=r"git config --global user\.name NAME"):
        pin.pin("v1", "first")


def test_a_shallow_clone_says_how_to_get_the_rest(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{clone}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    with pytest.raises(UserError, match="shallow: run `git fetch --unshallow --tags`"):
        history.open_version("v1")
