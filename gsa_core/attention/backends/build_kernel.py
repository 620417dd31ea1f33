"""Compiles C++ of this package for this machine, once, and loads it.

A library is built by this machine's compiler the first time it is needed, in seconds, and kept in
the user's cache. Where there is none, platform wheels bring one (`prebuild`), for any width of a
head and processors of the level x86-64-v3. Whatever goes wrong, there is no library: a warning says
so once, and callers use torch. `CXX` names the compiler, `GSA_CORE_CACHE` the folder;
`GSA_CORE_KERNEL=off` asks for torch.

The name of a library's file has two hashes: of all that it was built from, and of its bytes. A
file that does not match the second is built again: to load one that was cut short could end the
process.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gsa_core.attention.backends.compiler import (
    FLAGS,
    compile_library,
    compiler_command,
    compiler_version,
)

__all__ = ["load_library", "prebuild"]

PREBUILT = Path(__file__).with_name("prebuilt")

_warned: set[Path] = set()
_failed_builds: dict[Path, str] = {}


def load_library(
    source: Path, *defines: str, check: Callable[[ctypes.CDLL], str]
) -> ctypes.CDLL | str:
    """The library of a source file, or why there is none; it raises nothing.

    Parameters
    ----------
    source
        A C++ file.
    defines
        Macros, ``NAME`` or ``NAME=value`` each.
    check
        Says why a loaded library must not be used; empty if it may.
    """
    asked = os.environ.get("GSA_CORE_KERNEL") or "auto"
    if asked.lower() == "off":
        return "GSA_CORE_KERNEL is off"
    try:
        if asked.lower() != "auto":
            raise OSError(f"GSA_CORE_KERNEL: got {asked!r}; accepts 'auto' or 'off'")
        library = _loaded(source.absolute(), defines)
        problem = check(library)
    except Exception as error:  # whatever it is, torch computes the same
        problem = str(error).strip().partition("\n")[0] or type(error).__name__
    if not problem:
        return library
    _warn(source, "no kernel, torch is used instead: %s", problem)
    return problem


def _warn(source: Path, *message: str) -> None:
    """Log a warning, the first one about a source file alone."""
    if source not in _warned:
        _warned.add(source)
        logging.getLogger(__name__).warning(*message)


def _loaded(source: Path, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The library for this machine, else the one that came with the wheel."""
    try:
        return _load(source, defines)
    except OSError:
        if not is_level_3():
            raise
        for file in PREBUILT.glob(f"{_prebuilt_name(source, defines)}-*.so"):
            with contextlib.suppress(OSError):  # of another system
                return _opened(file)
        raise


def prebuild(source: Path, *defines: str) -> Path:
    """Build a library for a wheel: for any width of a head, and no particular processor.

    Parameters
    ----------
    source, defines
        As of `load_library`.
    """
    defines = _of_any_width(defines)
    tuned = ("-march=x86-64-v3", "-static-libstdc++", "-static-libgcc")
    code = compile_library(compiler_command(), source, defines, tuned)
    PREBUILT.mkdir(exist_ok=True)
    return _kept(code, PREBUILT, _prebuilt_name(source, defines))


def _prebuilt_name(source: Path, defines: tuple[str, ...]) -> str:
    texts = (os.fsencode(x) for x in _of_any_width(defines))
    return f"{source.stem}-{content_hash(*texts, *_sources(source))}"


def _of_any_width(defines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(re.sub(r"^HEAD_DIM=\d+$", "HEAD_DIM=0", define) for define in defines)


def is_level_3() -> bool:
    """Whether this is a processor of the level x86-64-v3, on Linux."""
    flags = {word for line in _processor().splitlines() for word in line.split()}
    needed = {b"avx2", b"bmi1", b"bmi2", b"f16c", b"fma", b"abm", b"movbe"}
    return platform.machine() == "x86_64" and needed <= flags


def _load(source: Path, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The library from a folder that holds it, else built."""
    problems: list[str] = []
    command, folders = compiler_command(), list(_folders(problems))
    name = f"{source.stem}-{identity(command, source, defines)}"
    for file in (file for folder in folders for file in folder.glob(f"{name}-*.so")):
        with contextlib.suppress(OSError):
            return _opened(file)
    code = _built(command, source, defines)
    for folder in folders:
        try:
            library = _opened(_kept(code, folder, name))
        except OSError as error:
            problems.append(str(error))
            continue
        if problems:
            _warn(source, "the kernel is kept in %s: %s", str(folder), problems[0])
        return library
    raise OSError(problems[0])


def _built(command: tuple[str, ...], source: Path, defines: tuple[str, ...]) -> bytes:
    """A new library. One failure is the last: the compiler would fail, or hang, again."""
    if source in _failed_builds:
        raise OSError(_failed_builds[source])
    try:
        return compile_library(command, source, defines)
    except OSError as error:
        _failed_builds[source] = str(error)
        raise


def _kept(code: bytes, folder: Path, name: str) -> Path:
    """The file of a library, written aside and renamed, so that nobody finds a part of one."""
    file = folder / f"{name}-{content_hash(code)}.so"
    handle, aside = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(code)
        os.replace(aside, file)
    finally:
        Path(aside).unlink(missing_ok=True)
    return file


def _opened(file: Path) -> ctypes.CDLL:
    """The library of a whole file; raises OSError for others, and for those of another system."""
    if content_hash(file.read_bytes()) != file.stem.rpartition("-")[2]:
        raise OSError(f"{file} is damaged")
    return ctypes.CDLL(str(file))


def content_hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())  # where a part ends matters
    return digest.hexdigest()[:20]


def identity(command: tuple[str, ...], source: Path, defines: tuple[str, ...]) -> str:
    """Hash of what a library is built from, by and for: machines that differ may share a folder."""
    texts = [os.fsencode(x) for x in (*command, *FLAGS, *defines, platform.machine(), _c_library())]
    return content_hash(compiler_version(command), _processor(), *texts, *_sources(source))


def _sources(source: Path) -> list[bytes]:
    """Contents of a file and of those that it includes, whatever else lies in their folder."""
    found: dict[Path, bytes] = {}
    todo = [source]
    while todo:
        file = todo.pop()
        if file not in found:
            found[file] = file.read_bytes()
            names = re.findall(rb'^\s*#\s*include\s*"([^"]+)"', found[file], re.MULTILINE)
            todo += [file.parent / os.fsdecode(name) for name in names]
    return [found[file] for file in sorted(found)]


def _c_library() -> str:
    """Name and version of the C library."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return " ".join(platform.libc_ver())


def _processor() -> bytes:
    """What a processor can do."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    known = (b"flags", b"Features", b"model name", b"CPU part")
    return b"\n".join(sorted({line for line in lines if line.startswith(known)}))


def _folders(problems: list[str]) -> Iterator[Path]:
    """The user's cache, and where that cannot be had a temporary folder of the user's own."""
    for choose in (_cache_folder, _temporary_folder):
        try:
            folder = choose().absolute()  # a bare name would be looked for on the system's path
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_private(folder)
        except (OSError, RuntimeError) as error:
            problems.append(str(error))
        else:
            yield folder


def _cache_folder() -> Path:
    if asked := os.environ.get("GSA_CORE_CACHE"):
        return Path(asked)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "gsa_core"


def _temporary_folder() -> Path:
    user = getattr(os, "getuid", lambda: "user")()
    folder = Path(tempfile.gettempdir()) / f"gsa_core-{user}"
    if folder.is_symlink():  # anybody can make one there
        raise OSError(f"{folder}: a link, where a folder was expected")
    return folder


def _check_private(folder: Path) -> None:
    """Raise where somebody else can write: what lies there is run. Windows has no such modes."""
    found = folder.stat()
    if not hasattr(os, "getuid"):
        return
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder}: others can write there; name another with GSA_CORE_CACHE")
