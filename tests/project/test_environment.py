"""Making the environment: quick when it is whole, one sentence when something is missing."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections import namedtuple
from pathlib import Path

import make_environment
import pytest
import yaml


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """A project with a finished environment."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    monkeypatch.setattr(make_environment, "ROOT", tmp_path)
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / ".stamp").write_text(make_environment.fingerprint(folder) + "\n")
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_finished_environment_is_kept(project: Path) -> None:
    assert make_environment.is_ready(project / ".venv")


def test_tool_settings_do_not_decide_the_environment(project: Path) -> None:
    edit(project / "pyproject.toml", "line-length = 100", "line-length = 99")
    assert make_environment.is_ready(project / ".venv")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("constraints.txt", "torch==2.13.0", "torch==2.14.0"),
        ("pyproject.toml", '"scipy>=1.14",', ""),
    ],
)
def test_other_requirements_make_it_anew(project: Path, name: str, old: str, new: str) -> None:
    edit(project / name, old, new)
    assert not make_environment.is_ready(project / ".venv")


def test_interrupted_installation_is_made_anew(project: Path) -> None:
    (project / ".venv" / ".stamp").unlink()
    assert not make_environment.is_ready(project / ".venv")


def test_removed_interpreter_makes_it_anew(project: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(project / "gone")
    assert not make_environment.is_ready(project / ".venv")


def test_full_disk_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 2**30))
    with pytest.raises(SystemExit, match=r"needs 4 GiB of free disk under .*, which has 1\.0 GiB"):
        make_environment.check_machine(tmp_path / ".venv")


def test_an_environment_behind_a_link_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".venv").rename(project / "shared")
    (project / ".venv").symlink_to("shared")
    (project / "shared" / ".stamp").unlink()
    monkeypatch.setattr(sys, "argv", ["make_environment.py"])
    with pytest.raises(SystemExit, match=r"\.venv is a link to shared: .* make VENV=shared"):
        make_environment.main()
    assert (project / "shared" / "bin" / "python").exists()


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_other_python_is_refused_in_a_sentence(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "argv", ["make_environment.py"])
    with pytest.raises(SystemExit, match=r"error: needs Python 3\.11, 3\.12 or 3\.13, for which"):
        make_environment.main()


@pytest.mark.parametrize("version", [(3, 11, 7), (3, 12, 1), (3, 13, 2)])
def test_a_supported_python_keeps_a_finished_environment(
    version: tuple[int, int, int], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "argv", ["make_environment.py"])
    monkeypatch.setattr(make_environment, "install", lambda *_: pytest.fail("made again"))
    make_environment.main()


def test_makefile_workflow_and_package_name_the_same_pythons(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (_, oldest), (_, newest) = make_environment.OLDEST, make_environment.NEWEST
    named = [f"3.{minor}" for minor in range(oldest, newest + 1)]
    listed = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python ::" in line]
    workflow = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]
    assert listed == workflow["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">=3.{oldest},<3.{newest + 1}"
    assert (
        f"(3, {oldest}) <= sys.version_info[:2] <= (3, {newest})" in (root / "Makefile").read_text()
    )
    assert workflow["steps"][-1]["run"] == "bash .ci/run"


FAKE_TOOL = """#!/bin/sh
echo "$(basename "$0") $* [$PIP_CONSTRAINT $UV_CONSTRAINT]" >> "{log}"
[ "$1" = venv ] && mkdir -p "{folder}/bin" && ln -s "{tool}" "{folder}/bin/python"
exit 0
"""


@pytest.mark.parametrize("uv", [True, False])
def test_uv_installs_where_it_is_and_pip_otherwise(
    uv: bool, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log, tools = project / ".venv", project / "log", project / "tools"
    tools.mkdir()
    for name in ["tool", *(["uv"] if uv else [])]:
        text = FAKE_TOOL.format(log=log, folder=folder, tool=tools / "tool")
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (folder / ".stamp").unlink()

    def make_folder(folder: Path) -> None:
        (folder / "bin/python").unlink()
        (folder / "bin/python").symlink_to(tools / "tool")

    monkeypatch.setattr(make_environment, "STATE", project / ".state")
    monkeypatch.setattr(make_environment, "LOG", project / ".state/environment.log")
    monkeypatch.setattr(make_environment, "make_folder", make_folder)
    monkeypatch.setattr(make_environment, "check_machine", lambda folder: None)
    monkeypatch.setattr(sys, "argv", ["make_environment.py"])
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    make_environment.main()
    ran = log.read_text().splitlines()
    pins = "[constraints.txt constraints.txt]"
    if uv:
        assert ran[0] == f"uv venv --quiet --python {sys.executable} {folder} {pins}"
        assert ran[1].startswith(f"uv pip install --python {folder}/bin/python --editable")
    else:
        assert ran[0].startswith("python -m pip install --no-input")
    assert len(ran) == 1 + uv and all(pins in line for line in ran)
    assert make_environment.is_ready(folder)
    assert f"with {'uv' if uv else 'pip'}; log: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for ray",
            "the packages could not be fetched; check the network",
        ),
        ("ERROR: Could not install packages: No space left on device", "the disk filled up"),
        ("ERROR: one\nERROR: the two disagree", "pip failed: the two disagree"),
        ("", "pip failed: no reason given"),
        (
            "error: Failed to fetch: `https://example.org/simple/ray/`\n  Caused by: dns error",
            "the packages could not be fetched; check the network",
        ),
        ("  × No solution found\n  ╰─▶ the two disagree", "pip failed: No solution found"),
    ],
)
def test_failure_is_one_sentence(log: str, sentence: str) -> None:
    said = make_environment.explain(log)
    assert said.startswith(sentence)
    assert "environment.log" in said and "\n" not in said
