"""The kernel that comes with a platform wheel, where this machine cannot build one."""

from __future__ import annotations

import ctypes
import shlex
from pathlib import Path

import pytest
import yaml

from gsa_core.attention.backends import build_kernel as compiled
from gsa_core.attention.backends import kernel_calls


@pytest.fixture
def file(machine, tmp_path, monkeypatch) -> Path:
    """A prebuilt library, on a machine of the right level whose compiler now fails."""
    monkeypatch.setattr(compiled, "PREBUILT", tmp_path / "prebuilt")
    monkeypatch.setattr(compiled, "is_level_3", lambda: True)
    file = compiled.prebuild(kernel_calls.SOURCE, "SCALAR=double", "HEAD_DIM=5")
    arguments = shlex.split(machine.builds[-1])
    assert {"-march=x86-64-v3", "-DHEAD_DIM=0"} <= set(arguments)
    assert "-march=native" not in arguments
    machine.compiler("exit 1")
    return file


def test_it_is_used_where_nothing_can_be_built(file, forward):
    library, warnings = forward()
    assert isinstance(library, ctypes.CDLL) and library._name == str(file)
    assert warnings == []


def test_it_is_used_without_any_compiler(file, forward, machine):
    machine.command.unlink()
    library, warnings = forward()
    assert isinstance(library, ctypes.CDLL) and library._name == str(file) and warnings == []


def test_what_is_built_here_is_preferred(file, forward, machine):
    machine.compiler()
    library, _ = forward()
    assert isinstance(library, ctypes.CDLL) and library._name == str(machine.libraries[0])


@pytest.mark.parametrize("what", ["level", "damaged", "cut", "source", "scalar"])
def test_another_is_never_loaded(what, file, forward, monkeypatch):
    if what == "level":
        monkeypatch.setattr(compiled, "is_level_3", lambda: False)
    elif what == "damaged":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif what == "source":  # a wheel of another version
        monkeypatch.setattr(compiled, "_sources", lambda source: [b"other"])
    else:
        file.rename(file.with_name("kernel-of-another-type-1.so"))
    problem, warnings = forward()
    assert "returned non-zero exit status 1" in problem and len(warnings) == 1


@pytest.mark.parametrize(
    ("flags", "machine_name", "expected"),
    [
        ("avx2 bmi1 bmi2 f16c fma abm movbe sse4_2", "x86_64", True),
        ("avx2 bmi1 bmi2 f16c abm movbe sse4_2", "x86_64", False),
        ("avx2 bmi1 bmi2 f16c fma abm movbe sse4_2", "aarch64", False),
    ],
)
def test_the_level_is_that_of_the_processor(flags, machine_name, expected, monkeypatch):
    monkeypatch.setattr(compiled, "_processor", lambda: f"flags\t\t: fpu {flags}".encode())
    monkeypatch.setattr(compiled.platform, "machine", lambda: machine_name)
    assert compiled.is_level_3() is expected


def test_the_release_workflow_uploads_to_no_index():
    text = (Path(__file__).resolve().parents[2] / ".github/workflows/release.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"} and "secrets." not in text
    assert not any(word in text for word in ("twine", "pypi-publish", "TOKEN"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert any("scripts/build_wheels.sh" in step.get("run", "") for step in steps)
