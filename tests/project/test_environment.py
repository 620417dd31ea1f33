"""Making the environment: quick when it is whole, one sentence when something is missing."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import make_environment
import pytest


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


def test_other_python_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(sys, "argv", ["make_environment.py"])
    with pytest.raises(SystemExit, match=r"error: needs Python 3\.11, for which"):
        make_environment.main()


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
    ],
)
def test_failure_is_one_sentence(log: str, sentence: str) -> None:
    said = make_environment.explain(log)
    assert said.startswith(sentence)
    assert "environment.log" in said and "\n" not in said
