"""Whatever happens while the kernel is built or loaded, the forward pass computes the same."""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import tempfile
from pathlib import Path

import pytest
import torch
from fake_compiler import WRITES

from gsa_core import GroupSelfAttention, cyclic_group
from gsa_core.attention.backends import build_kernel as compiled
from gsa_core.attention.backends import compiler, kernel_calls

COMPILERS = {  # what it does, and what is said of it
    "false": ("exit 1", "returned non-zero exit status 1"),
    "not UTF-8": (r"printf 'caf\351: error: \377\n'; exit 2", "status 2: caf\ufffd: error: \ufffd"),
    "much output": ("yes warning | head -c 300000; echo an error; exit 1", "status 1: an error"),
    "killed": ("kill -9 $$", "was ended by signal 9"),
    "no file": ("exit 0", "wrote no library"),
    "an empty file": (': > "$out"', "wrote no library"),
    "text": ('echo text > "$out"', ".so: "),
    "another library": (f"cp {shlex.quote(torch._C.__file__)} $out", "structure_sizes"),
    "hangs": ("exec sleep 100", "did not end within 0.2 seconds"),
    "its child hangs": ("sleep 100; exit 0", "did not end within 0.2 seconds"),
}


@pytest.mark.parametrize("name", COMPILERS)
def test_torch_is_used_where_the_compiler_fails(name, machine, forward, monkeypatch):
    does, reason = COMPILERS[name]
    if "hangs" in name:
        monkeypatch.setattr(compiler, "BUILD_SECONDS", 0.2)
    machine.compiler(does)
    problem, warnings = forward()
    assert reason in problem
    assert warnings == [f"no kernel, torch is used instead: {problem}"]


@pytest.mark.parametrize("does", ["exit 1", "exec sleep 100"])
def test_a_compiler_that_failed_is_not_asked_again(does, machine, forward, monkeypatch):
    monkeypatch.setattr(compiler, "BUILD_SECONDS", 0.2)
    machine.compiler(does)
    forward()
    tried = len(machine.builds)
    assert isinstance(kernel_calls.library_of(torch.float32, 3), str)
    assert len(machine.builds) == tried


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"GSA_CORE_KERNEL": "off"}, "GSA_CORE_KERNEL is off"),
        ({"GSA_CORE_KERNEL": "0"}, "GSA_CORE_KERNEL: got '0'; accepts 'auto' or 'off'"),
        ({"GSA_CORE_KERNEL": "offf"}, "accepts 'auto' or 'off'"),
        ({"CXX": "", "PATH": ""}, "no C++ compiler was found"),
        ({"CXX": "no-such-compiler -O1"}, "CXX: got 'no-such-compiler -O1'; there is no such"),
        ({"CXX": "'unbalanced"}, 'CXX: got "\'unbalanced", which is no command'),
        ({"CXX": '""'}, "there is no such compiler"),
    ],
)
def test_torch_is_used_without_a_compiler(environment, reason, machine, forward, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    problem, warnings = forward()
    assert reason in problem
    assert len(warnings) == (environment.get("GSA_CORE_KERNEL") != "off")
    assert not machine.libraries
    layer = GroupSelfAttention(cyclic_group(4), 2, 2, 1, method="kernel").double()
    with pytest.raises(ValueError, match="method: got 'kernel'; no kernel could be built"):
        layer(torch.zeros(1, 2, 4, 3, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("no usable temporary directory"),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize("name", ["compiler_command", "_folders", "_sources", "_built", "_opened"])
def test_no_error_reaches_the_forward_pass(name, error, forward, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(compiled, name, fail)
    problem, warnings = forward()
    assert problem == (str(error) or "MemoryError")
    assert len(warnings) == 1


@pytest.mark.parametrize("added", ["", " -O1 -DX='a b'", " '-I a folder'"])
@pytest.mark.parametrize("before", ["", "env A=1 "])
def test_compiler_with_words_around_it(before, added, machine, forward, monkeypatch):
    monkeypatch.setenv("CXX", f"{before}{machine.command}{added}")
    found, warnings = forward()
    assert isinstance(found, ctypes.CDLL)
    assert not warnings
    first = machine.builds[0]
    assert first.startswith(" ".join([*shlex.split(added), "-std=c++17"]))


def test_compiler_in_a_folder_with_spaces(machine, forward, monkeypatch):
    monkeypatch.setenv("CXX", str(machine.command.rename(machine.temporary / "the c++ of mine")))
    assert isinstance(forward()[0], ctypes.CDLL)


@pytest.mark.parametrize("flag", compiler.TUNED)
def test_compiler_that_does_not_know_this_processor(flag, machine, forward):
    machine.compiler(f'case "$*" in *{flag}*) echo error: unknown; exit 1;; esac; {WRITES}')
    found, warnings = forward()
    assert isinstance(found, ctypes.CDLL)
    assert not warnings
    assert [flag in build for build in machine.builds] == [True, False]


def no_home(machine, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    for name in ("GSA_CORE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def a_file(machine, monkeypatch):
    machine.cache.write_text("")


def below_a_file(machine, monkeypatch):
    machine.cache.write_text("")
    monkeypatch.setenv("GSA_CORE_CACHE", str(machine.cache / "deeper"))


def open_to_others(machine, monkeypatch):
    machine.cache.mkdir()
    machine.cache.chmod(0o777)


def of_somebody_else(machine, monkeypatch):
    user, stat = os.getuid(), os.stat
    machine.cache.mkdir()

    def other(path, **options):
        found = list(stat(path, **options))
        found[4] = user + (Path(path) == machine.cache)
        return os.stat_result(found)

    monkeypatch.setattr(os, "stat", other)


def refuses(*numbers):
    """The cache refuses files for this reason."""

    def refuse(machine, monkeypatch):
        make = tempfile.mkstemp

        def refusing(*args, dir=None, **options):
            if dir == machine.cache:
                raise OSError(numbers[0], os.strerror(numbers[0]), str(dir))
            return make(*args, dir=dir, **options)

        monkeypatch.setattr(tempfile, "mkstemp", refusing)

    return refuse


def full(machine, monkeypatch):
    replace = os.replace

    def fail(source, target):
        if Path(target).parent == machine.cache:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)


def allows_no_code(machine, monkeypatch):
    load = ctypes.CDLL

    def refusing(name):
        if Path(name).parent == machine.cache:
            raise OSError(f"{name}: failed to map segment from shared object")
        return load(name)

    monkeypatch.setattr(ctypes, "CDLL", refusing)


CACHES = {
    "no home": no_home, "a file": a_file, "below a file": below_a_file,
    "open to others": open_to_others, "of somebody else": of_somebody_else,
    "read-only": refuses(errno.EROFS), "unwritable": refuses(errno.EACCES),
    "over quota": refuses(errno.EDQUOT), "full": full, "allows no code": allows_no_code,
}  # fmt: skip


@pytest.mark.parametrize("name", CACHES)
def test_temporary_folder_takes_the_place_of_the_cache(name, machine, forward, monkeypatch):
    CACHES[name](machine, monkeypatch)
    found, warnings = forward()
    assert isinstance(found, machine.loaded)
    assert Path(found._name).is_relative_to(machine.temporary)
    assert len(warnings) == 1
    assert warnings[0].startswith(f"the kernel is kept in {machine.temporary}")
    assert len(machine.builds) == 1  # the second time it is there
    assert not list(machine.temporary.rglob("*.tmp"))
    assert [x.stat().st_mode & 0o777 for x in machine.temporary.iterdir()] == [0o700]


@pytest.mark.parametrize("others", ["link", "mode"])
def test_code_that_others_could_have_written_is_not_run(others, machine, forward):
    temporary = machine.temporary / f"gsa_core-{os.getuid()}"
    for folder in (machine.cache, temporary):
        folder.mkdir()
        folder.chmod(0o777)
    if others == "link":
        temporary.rmdir()
        temporary.symlink_to(machine.cache)
    problem, warnings = forward()
    assert "others can write there; name another with GSA_CORE_CACHE" in problem
    assert len(warnings) == 1
    assert not machine.libraries
