"""The C++ compiler of this machine: which it is, and a shared library from a source file by it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["compile_library", "compiler_command", "compiler_version"]

# Sums keep their order (no -ffast-math); multiply-adds are used where the processor has them.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math")
TUNED = ("-march=native",)  # not every compiler knows it for every processor
SHARED = ("-shared", "-fPIC", "-pthread", "-w")
BUILD_SECONDS = 300
VERSION_SECONDS = 10


def compiler_command() -> tuple[str, ...]:
    """The compiler, and what `CXX` adds to it: ``ccache g++``, ``g++ -O1``."""
    asked = os.environ.get("CXX", "").strip()
    if asked:
        # A path with spaces first, as a shell would not take it.
        try:
            words = [asked] if shutil.which(asked) else shlex.split(asked, posix=os.name == "posix")
        except ValueError as error:
            raise OSError(f"CXX: got {asked!r}, which is no command ({error})") from None
        if words and (found := shutil.which(words[0])) is not None:
            return (found, *words[1:])
        raise OSError(f"CXX: got {asked!r}; there is no such compiler")
    for name in ("c++", "g++", "clang++"):
        if (found := shutil.which(name)) is not None:
            return (found,)
    raise OSError("no C++ compiler was found")


@cache
def compiler_version(command: tuple[str, ...]) -> bytes:
    """What a compiler says of itself; empty if it says nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            return _run([*command, "--version"], Path(folder), VERSION_SECONDS)
        except (OSError, subprocess.SubprocessError):
            return b""


def compile_library(
    command: tuple[str, ...], source: Path, defines: tuple[str, ...], tuned: tuple[str, ...] = TUNED
) -> bytes:
    """A shared library, for this processor if the compiler can; raises OSError without one."""
    macros = [f"-D{define}" for define in defines]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        target = Path(folder) / "library.so"
        plain = [*command, *FLAGS, *macros, *SHARED, "-o", str(target), str(source)]
        try:
            _run([*plain, *tuned], Path(folder), BUILD_SECONDS)
        except CompilerError:
            _run(plain, Path(folder), BUILD_SECONDS)
        code = target.read_bytes() if target.exists() else b""
    if not code:
        raise OSError(f"{command[0]} wrote no library")
    return code


class CompilerError(OSError):
    """The compiler refused."""


def _run(command: list[str], folder: Path, seconds: float) -> bytes:
    """What a command prints; after so many seconds it is killed, with all that it started.

    Its output goes to a file: a pipe that a grandchild holds open would be waited for.
    """
    with open(folder / "output", "w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise OSError(f"{command[0]} did not end within {seconds:g} seconds") from None
        except BaseException:
            _end(process)
            raise
        output.seek(0)
        printed = output.read()
    if status < 0:
        raise OSError(f"{command[0]} was ended by signal {-status}")
    if status:
        said = _first_error(printed)
        raise CompilerError(f"{command[0]} returned non-zero exit status {status}{said}")
    return printed


def _first_error(printed: bytes) -> str:
    """The line of a compiler's output that says what is wrong, in whatever encoding it is."""
    lines = [line.strip() for line in printed.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if "error" in line.lower()] or [line for line in lines if line]
    return f": {lines[0]}" if lines else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
