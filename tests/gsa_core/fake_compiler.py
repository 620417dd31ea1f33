"""A machine whose C++ compiler is a script: what a real one does in seconds, or does wrong."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import pytest

from gsa_core.attention.backends import build_kernel as compiled
from gsa_core.attention.backends import kernel_calls
from gsa_core.attention.backends.compiler import compiler_version

__all__ = ["WRITES", "Machine", "named_by_hash"]

# $out is the file that is asked for.
SCRIPT = """#!/bin/sh
case "$*" in *--version*) echo "script {version}"; exit;; esac
echo "$@" >> "{log}"
for word in "$@"; do [ "$last" = -o ] && out=$word; last=$word; done
{does}
"""
WRITES = 'cp "{library}" "$out"'


class Machine:
    """Empty folders, a compiler that copies a library, and nothing remembered from before."""

    def __init__(self, folder: Path, library: Path, patch: pytest.MonkeyPatch) -> None:
        self.library, self.patch, self.loaded = library, patch, ctypes.CDLL
        self.cache, self.temporary, self.log = (folder / x for x in ("cache", "temp", "log"))
        self.temporary.mkdir()
        self.command = folder / "c++"
        self.compiler()
        patch.setenv("CXX", str(self.command))
        patch.setenv("GSA_CORE_CACHE", str(self.cache))
        patch.delenv("GSA_CORE_KERNEL", raising=False)
        patch.setattr(tempfile, "tempdir", str(self.temporary))
        self.forget()

    def compiler(self, does: str = WRITES, version: str = "1.0") -> None:
        """Have the compiler do this."""
        does = does.format(library=self.library)
        self.command.write_text(SCRIPT.format(version=version, log=self.log, does=does))
        self.command.chmod(0o700)

    def forget(self) -> None:
        """Load as a new process would."""
        self.patch.setattr(compiled, "_warned", set())
        self.patch.setattr(compiled, "_failed_builds", {})
        compiler_version.cache_clear()
        kernel_calls.library_of.cache_clear()

    @property
    def builds(self) -> list[str]:
        """Arguments of every call that was to build."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def libraries(self) -> list[Path]:
        """Files of libraries that are kept."""
        return sorted([*self.cache.rglob("*.so"), *self.temporary.rglob("*.so")])


def named_by_hash(file: Path, code: bytes) -> None:
    """Write a library beside another, as if it had been built like this."""
    file.with_name(f"{file.stem.rpartition('-')[0]}-{compiled.content_hash(code)}.so").write_bytes(
        code
    )
