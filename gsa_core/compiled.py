"""Compiles C++ of this package for this machine, once, and loads it.

A library is built by the compiler at hand the first time it is needed, in seconds, and kept in the
user's cache. Where there is no compiler, or it fails, there is no library: callers take their plain
way, and a warning says so once. `GSA_CORE_KERNEL=off` asks for that; `CXX` names the compiler,
`GSA_CORE_CACHE` the folder.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["load_library", "why_not"]

# Sums keep their order (no -ffast-math); multiply-adds are used where the processor has them.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
SHARED = ("-shared", "-fPIC", "-pthread", "-w")
SECONDS = 300

_problems: dict[Path, str] = {}


def why_not(source: Path) -> str:
    """Why the last attempt to load `source` gave nothing; empty if it gave a library."""
    return _problems.get(source, "")


@cache
def load_library(source: Path, *defines: str) -> ctypes.CDLL | None:
    """The library of a source file with these macros, ``NAME=value`` each; None without one."""
    if os.environ.get("GSA_CORE_KERNEL", "auto") == "off":
        _problems[source] = "GSA_CORE_KERNEL is off"
        return None
    try:
        return ctypes.CDLL(str(_built(source, defines)))
    except (OSError, subprocess.SubprocessError) as error:
        problem = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
        if source not in _problems:
            logging.getLogger(__name__).warning("no kernel, torch is used instead: %s", problem)
        _problems[source] = problem
        return None


def _built(source: Path, defines: tuple[str, ...]) -> Path:
    """The library's file, built if it is not in the cache."""
    command = [_compiler(), *FLAGS, *(f"-D{x}" for x in defines), *SHARED]
    texts = [file.read_text() for file in sorted(source.parent.iterdir()) if file.is_file()]
    identity = "\n".join([*command, _processor(), *texts])
    name = f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:20]}.so"
    folder = _private_folder()
    library = folder / name
    if not library.exists():
        # Aside and renamed: whoever else builds it at this moment finds a whole file or none.
        handle, aside = tempfile.mkstemp(dir=folder, suffix=".so.tmp")
        os.close(handle)
        try:
            subprocess.run(
                [*command, "-o", aside, str(source)],
                check=True,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                stdin=subprocess.DEVNULL,
            )
            os.replace(aside, library)
        finally:
            Path(aside).unlink(missing_ok=True)
    return library


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if (found := shutil.which(name)) is not None:
            return found
    raise OSError("no C++ compiler was found")


def _processor() -> str:
    """What the code is built for: a folder may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    known = ("flags", "Features", "model name", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(known)}))


def _private_folder() -> Path:
    """A cache that nobody else can write to: what lies there is run."""
    asked = os.environ.get("GSA_CORE_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(asked) if asked else home / "gsa_core"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder}: others can write there; name another with GSA_CORE_CACHE")
    return folder
