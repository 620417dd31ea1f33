"""What outlives an interruption: `.state/<stage>/<hash>/`, its lock, and what the hash is of.

DVC knows nothing of this folder (it deletes declared outputs before a stage runs). The hash is
of everything that decides the results, so a changed study never continues from another's work.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import write_text

ROOT = Path(".state")
PROJECT = Path(__file__).resolve().parent.parent
# Versions that decide what a configuration trains to and which configurations are proposed.
LIBRARIES = ("torch", "numpy", "optuna")


def source_digest(paths: Iterable[str]) -> str:
    """Hash Python files, given as files or folders relative to the project.

    Line ends and the order of `paths` do not matter; names and contents do.
    """
    files: set[Path] = set()
    for path in paths:
        place = PROJECT / path
        files.update(place.rglob("*.py") if place.is_dir() else [place])
    digest = hashlib.sha256()
    for file in sorted(files):
        text = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(PROJECT).as_posix()}\n{len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def state_folder(stage: str, definition: Mapping[str, Any]) -> Path:
    """Return the folder of a stage's work that `definition` defines, made if it is new.

    `definition.json` inside says what the hash is of, for whoever wonders why work began anew.
    """
    text = json.dumps(definition, sort_keys=True, indent=1, default=str)
    folder = ROOT / stage / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "definition.json").exists():
        write_text(folder / "definition.json", text + "\n")
    return folder


@contextmanager
def stage_lock(stage: str) -> Iterator[None]:
    """Hold the one lock of a stage; another holder is an error that names it.

    The lock belongs to the open file and ends with the process, so a crash leaves nothing to
    clean up; the text in the file only says who holds it.

    Raises
    ------
    UserError
        Another process of this project runs the stage.
    """
    path = ROOT / stage / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "an unnamed process"
            raise UserError(
                f"{stage} is already running here ({holder}); wait for it or end that process"
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
