"""Say whether a stage runs here now, by its lock or by what DVC notes of itself."""

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
OUTPUTS = {"report": "reports/index.html"}  # of stages that write elsewhere than into data/STAGE


def stage_running(stage: str) -> str | None:
    """Say that a stage runs and in which process; None where it does not.

    `sweep` and `confirm` take their locks after some seconds of imports, the other stages take
    none, and DVC reads all files of an output after its stage.
    """
    if (who := holder(stage)) is not None:
        return f"running ({who})"
    if (number := _writer(Path(OUTPUTS.get(stage, f"data/{stage}")).absolute())) is not None:
        return f"running (DVC, pid {number})"
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
