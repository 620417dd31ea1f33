"""Libraries that are kept: for which machine, whole or not, by several processes, anywhere."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from fake_compiler import WRITES, named_by_hash

from gsa_core.attention.backends import build_kernel as compiled
from gsa_core.attention.backends import compiler, kernel_calls
from gsa_core.attention.backends.operators import fused_attention
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

DEFINES = ("SCALAR=double", "HEAD_DIM=0")


def foreign(code: bytes) -> bytes:
    """The same for another architecture (its number is at byte 18 of an ELF file)."""
    return code[:18] + b"\xf3\x00" + code[20:]


DAMAGE = {
    "empty": lambda code: b"",
    "text": lambda code: b"text",
    "foreign": foreign,
    "cut short": lambda code: code[: len(code) // 2],
    "one bit": lambda code: code[:-9] + bytes([code[-9] ^ 1]) + code[-8:],
}


# What is cut short may end a process that loads it: there must be no such name.
@pytest.mark.parametrize(
    ("damage", "named"),
    [("empty", False), ("empty", True), ("text", False), ("text", True), ("foreign", False),
     ("foreign", True), ("cut short", False), ("one bit", False)],
)  # fmt: skip
def test_damaged_library_is_built_again_once(damage, named, machine, forward):
    forward()
    [file] = machine.libraries
    code = DAMAGE[damage](file.read_bytes())
    file.unlink()  # this process has it mapped
    if named:  # as if it had been built so
        named_by_hash(file, code)
    else:
        file.write_bytes(code)
    for _ in range(2):
        machine.forget()
        found, warnings = forward()
        assert isinstance(found, ctypes.CDLL)
        assert not warnings
        assert len(machine.builds) == 2


def identity() -> str:
    return compiled.identity(compiler.compiler_command(), kernel_calls.SOURCE, DEFINES)


def another_version(machine, monkeypatch):
    machine.compiler(version="2.0")


def another_compiler(machine, monkeypatch):
    monkeypatch.setenv("CXX", str(machine.command.rename(machine.temporary / "clang++")))


def another_flag(machine, monkeypatch):
    monkeypatch.setenv("CXX", f"{machine.command} -O1")


def another_c_library(machine, monkeypatch):
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.17")


def another_kind_of_c_library(machine, monkeypatch):
    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))


def another_architecture(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")


def another_processor(machine, monkeypatch):
    monkeypatch.setattr(compiled, "_processor", lambda: b"flags: sse2")


@pytest.mark.parametrize(
    "change",
    [another_version, another_compiler, another_flag, another_c_library,
     another_kind_of_c_library, another_architecture, another_processor],
)  # fmt: skip
def test_machines_that_differ_may_share_a_folder(change, machine, monkeypatch):
    before = identity()
    assert identity() == before
    change(machine, monkeypatch)
    machine.forget()
    assert identity() != before


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the kernel's folder, used instead of it."""
    folder = Path(shutil.copytree(kernel_calls.SOURCE.parent, tmp_path / "kernel"))
    monkeypatch.setattr(kernel_calls, "SOURCE", folder / kernel_calls.SOURCE.name)
    return folder


def test_only_included_files_are_read(sources, machine, forward):
    before = identity()
    (sources / ".DS_Store").write_bytes(b"\0\0\0\1Bud1\xff\xfe")
    (sources / ".kernel.cpp.swp").write_bytes(b"b0VIM\xe9\x80")
    (sources / "unused.h").write_text("#error unused")
    (sources / "folder.h").mkdir()
    (sources / ".#window_attention.h").symlink_to("user@host.1234")
    assert identity() == before
    assert isinstance(forward()[0], ctypes.CDLL)


@pytest.mark.parametrize("name", sorted(x.name for x in kernel_calls.SOURCE.parent.glob("*.[ch]*")))
def test_every_source_counts(name, sources, machine):
    before = identity()
    with (sources / name).open("ab") as file:
        file.write(b"// caf\xe9\n")
    assert identity() != before


@pytest.mark.parametrize("name", ["kernel.cpp", "lanes.h"])
def test_sources_that_are_gone(name, sources, forward):
    (sources / name).unlink()
    problem, warnings = forward()
    assert "No such file" in problem
    assert len(warnings) == 1


@pytest.mark.parametrize("lacks", ["getuid", "killpg", "confstr"])
def test_operating_system_that_lacks_functions(lacks, machine, forward, monkeypatch):
    monkeypatch.delattr(os, lacks)
    assert isinstance(forward()[0], ctypes.CDLL)


def test_hanging_compiler_is_killed_where_there_are_no_process_groups(
    machine, forward, monkeypatch
):
    monkeypatch.delattr(os, "killpg")
    monkeypatch.setattr(compiler, "BUILD_SECONDS", 0.2)
    machine.compiler("exec sleep 100")
    assert "did not end" in forward()[0]


@pytest.mark.parametrize("folder", [".", "relative/folder", "with spaces", "schön/キャッシュ"])
def test_cache_may_be_named_in_any_way(folder, machine, forward, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_CORE_CACHE", folder)
    assert isinstance(forward()[0], ctypes.CDLL)
    assert len(list((tmp_path / folder).glob("kernel-*.so"))) == 1


def load(queue, barrier) -> None:
    """Load the kernel in a process of its own and use it, by two threads."""
    barrier.wait(60)
    query, key, value = torch.ones(3, 2, 3, 3, 1, 1, 1, 2, dtype=torch.float64)
    torch.set_num_threads(2)
    out = fused_attention(query, key, value, OffsetTables(), Tiling(3, 3, 3), scale=1.0)
    queue.put(out.sum().item())


def in_processes(count: int, extra: int = 0) -> list[float]:
    context = get_context("fork")
    queue, barrier = context.Queue(), context.Barrier(count + extra)
    processes = [context.Process(target=load, args=(queue, barrier)) for _ in range(count)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    return found


def test_processes_may_build_at_once(machine):
    machine.compiler(f"sleep 0.3; {WRITES}")
    assert in_processes(2) == [36.0, 36.0]
    assert len(machine.builds) == 2
    assert [file.suffix for file in machine.cache.iterdir()] == [".so"]


def test_process_may_fork_after_threads(machine):
    assert isinstance(kernel_calls.library_of(torch.float64, 2), ctypes.CDLL)
    query = torch.ones(2, 3, 3, 1, 1, 1, 2, dtype=torch.float64)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fused_attention(query, query, query, OffsetTables(), Tiling(3, 3, 3), scale=1.0)
        assert in_processes(1) == [36.0]
    finally:
        torch.set_num_threads(threads)


def test_process_may_fork_while_a_thread_builds(machine):
    machine.compiler(f"sleep 1; {WRITES}")
    thread = threading.Thread(target=kernel_calls.library_of, args=(torch.float64, 2))
    thread.start()
    while not machine.builds:
        time.sleep(0.01)
    assert in_processes(1) == [36.0]
    thread.join()


SCRIPT = """
import sys, torch
from gsa_core import GroupSelfAttention, cyclic_group
layer = GroupSelfAttention(cyclic_group(1), 1, 1, 1, window=3, method="kernel").double()
print(*layer(torch.zeros(1, 1, 1, 3, 3).double()).shape, sys.getfilesystemencoding())
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("home", "utf8", "encoding"),
    [("my söurces 源", None, "utf-8"), ("my sources", "0", "ascii")],  # torch allows no more
)
def test_old_locale_and_folders_with_spaces_and_letters(
    home, utf8, encoding, root, machine, tmp_path
):
    """One build by the real compiler, and one load in a locale that cannot write the names."""
    home, cache = tmp_path / home, tmp_path / "my cäche 源"
    shutil.copytree(root / "gsa_core", home / "gsa_core")
    environment = {**os.environ, "LC_ALL": "C", "GSA_CORE_CACHE": str(cache), "PYTHONPATH": ""}
    environment["PYTHONCOERCECLOCALE"] = "0"
    # A kernel that another program has left in the machine's temporary folder would be loaded.
    environment["TMPDIR"] = str(tmp_path)
    if utf8 is None:
        del environment["CXX"]
    else:
        environment["PYTHONUTF8"] = utf8
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=home, env=environment, capture_output=True, timeout=240
    )
    assert done.stdout.decode() == f"1 1 1 3 3 {encoding}\n", done.stderr.decode("utf-8", "replace")
    assert len(list(cache.glob("kernel-*.so"))) == 1
