"""Say whether a stage runs here now, the seconds included in which DVC starts and ends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.execution.state_folder import holder

__all__ = ["stage_running"]

# DVC notes here who reads and writes which folders.
RWLOCK = Path(".dvc/tmp/rwlock")


def stage_running(stage: str) -> str | None:
    """Return how far a stage is and which process runs it; None where none does.

    A stage takes its lock after some seconds of imports, and DVC reads all files of its output
    after it.
    """
    if (who := holder(stage)) is not None:
        return f"running ({who})"
    if (number := _writer(Path("data", stage).absolute())) is not None:
        return f"starting or ending (DVC, pid {number})"
    return None


def _writer(folder: Path) -> int | None:
    """Return the process that DVC says is writing a folder, if it is alive."""
    try:
        found: Any = read_json(RWLOCK, "")
        number = int(found["write"][str(folder)]["pid"])
        os.kill(number, 0)  # sends nothing
    except (UserError, KeyError, TypeError, ValueError, ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # it is another user's
        pass
    return number
