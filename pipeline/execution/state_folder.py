"""What outlives an interruption: `.state/<stage>/<hash>/`, its lock, and what the hash is of.

DVC knows nothing of this folder (it deletes declared outputs before a stage runs). The hash is
of everything that decides the results, so a changed study never continues from another's work.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.common.locks import try_lock
from pipeline.results.provenance import LIBRARIES

# Where the state is kept: GSA_STATE where the project's own file system gives no locks.
ROOT = Path(os.environ.get("GSA_STATE", "").strip() or ".state")
# Tries for the lock, and seconds between them: `holder` has it for an instant.
TRIES, PAUSE = 5, 0.05
_version = cache(importlib.metadata.version)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: _version(name) for name in LIBRARIES}


def state_path(stage: str, definition: Mapping[str, Any]) -> Path:
    """Return where the work of a stage that `definition` defines is kept, if there is any."""
    return ROOT / stage / hashlib.sha256(_text(definition).encode()).hexdigest()[:16]


def state_folder(stage: str, definition: Mapping[str, Any]) -> Path:
    """Return the folder of a stage's work that `definition` defines, made if it is new.

    `definition.json` inside says what the hash is of, to see why work started from the beginning.
    """
    folder = state_path(stage, definition)
    folder.mkdir(parents=True, exist_ok=True)
    described = folder / "definition.json"
    if described.exists():
        described.touch()  # its time is that of the last run, for `superseded`
    else:
        write_text(described, _text(definition) + "\n")
    return folder


def superseded(stage: str, definition: Mapping[str, Any]) -> str | None:
    """Say why work begins at nothing although there is other work on the same data.

    None where the work that `definition` defines was started already, or there is none.
    """
    if state_path(stage, definition).exists():
        return None
    wanted = _leaves(definition)
    found = []
    for path in (ROOT / stage).glob("*/definition.json"):
        with suppress(OSError, UserError, AttributeError):
            other = read_json(path, "remove it")
            if other.get("data") == definition.get("data"):
                found.append((path.stat().st_mtime, path.parent, _leaves(other)))
    if not found:
        return None
    _, folder, other = max(found)
    names = sorted(name for name in wanted.keys() | other if wanted.get(name) != other.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"{', '.join(names[:3])}{more} changed, so earlier results are not continued; they are "
        f"kept in {folder} and count again when that is undone"
    )


def _leaves(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a definition by one level: files, libraries and parameters by their own names."""
    leaves: dict[str, Any] = {}
    for name, value in definition.items():
        prefix = "" if name in ("code", "versions") else f"{name}."
        inner = value if isinstance(value, dict) else None
        leaves |= {name: value} if inner is None else {prefix + k: v for k, v in inner.items()}
    return leaves


def _text(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, sort_keys=True, indent=1, default=str)


@contextmanager
def stage_lock(stage: str) -> Iterator[None]:
    """Hold the one lock of a stage; another holder is an error that names it.

    The lock belongs to the open file and ends with the process, so a crash leaves nothing to
    clean up; the text in the file only says who holds it.

    Raises
    ------
    UserError
        Another process of this project runs the stage, or there are no locks.
    """
    path = ROOT / stage / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        left = TRIES
        while not try_lock(file, path):
            left -= 1
            if not left:
                raise UserError(
                    f"{stage} is already running here ({_named(file)}); "
                    "wait for it or end that process"
                )
            time.sleep(PAUSE)
        file.truncate(0)
        file.write(f"{this_process()}\n")
        file.flush()
        yield


def this_process() -> str:
    """Name this process, as it signs its lock."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


def holder(stage: str) -> str | None:
    """Name the process that runs a stage now; None when none does."""
    path = ROOT / stage / "lock"
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        return None if try_lock(file, path, shared=True) else _named(file)


def _named(file: TextIO) -> str:
    """Read what the holder of a lock wrote into its file."""
    file.seek(0)
    return file.read().strip() or "an unnamed process"
