"""What a Ray of this machine needs, checked before it starts: it would take minutes to fail."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError

__all__ = ["check_local_ray", "interpreter"]

# Characters of the interpreter's path that Ray takes apart however they are quoted.
REFUSED = "\"'$`\\\n"
# The longest name of a socket, and what Ray adds to its temporary folder for one.
SOCKET = 107
SESSION = "/ray/session_0000-00-00_00-00-00_000000_0000000/sockets/plasma_store"
WITHOUT = "or set GSA_ENGINE=in-process to run one trial after the other without Ray"


def check_local_ray(
    environment: Mapping[str, str] = os.environ, python: str = sys.executable
) -> None:
    """Refuse paths with which a local Ray does not start, or starts no worker.

    Raises
    ------
    UserError
        Naming the path, what is wrong with it, and what to set.
    """
    wrong = [one for one in REFUSED if one in python]
    if wrong:
        raise UserError(
            f"{python}: Ray starts no worker of a Python whose path holds {wrong[0]!r}; make the "
            f"environment elsewhere and name it (make VENV=/path/to/it), {WITHOUT}"
        )
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in environment), None)
    folder = Path(environment[name] if name else "/tmp")
    if len(os.fsencode(folder.absolute())) + len(SESSION) > SOCKET:
        raise UserError(
            f"{folder}: is too long a path for Ray's sockets ({SOCKET - len(SESSION)} bytes at "
            f"most); set RAY_TMPDIR to a shorter one, such as /tmp, {WITHOUT}"
        )
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder}: Ray cannot write there; set RAY_TMPDIR to a folder that can be written, "
            f"{WITHOUT}"
        )


def interpreter(python: str = sys.executable) -> dict[str, Any]:
    """Return the options of `ray.init` that quote an interpreter's path: a shell starts workers.

    >>> interpreter("/usr/bin/python"), interpreter("/my env/bin/python")
    ({}, {'runtime_env': {'py_executable': "'/my env/bin/python'"}})
    """
    quoted = shlex.quote(python)
    return {} if quoted == python else {"runtime_env": {"py_executable": quoted}}
