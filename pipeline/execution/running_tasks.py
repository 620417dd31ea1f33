"""What a stage runs now, for `status` in another terminal: one small file next to its lock."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.common.files import write_json
from pipeline.execution.state_folder import ROOT, holder, this_process

__all__ = ["note_running", "running_tasks"]

Labels = Mapping[str, list[str]]


def _path(stage: str) -> Path:
    return ROOT / stage / "running.json"


def note_running(stage: str, cells: Labels, left: str) -> None:
    """Write which tasks run in each cell and how long the stage takes; a full disk is no error."""
    with suppress(OSError):
        write_json(_path(stage), {"process": this_process(), "cells": dict(cells), "left": left})


def running_tasks(stage: str) -> tuple[dict[str, list[str]], str]:
    """Return the running tasks of each cell and the time left; nothing where the stage ended.

    What a process that was killed has left behind is recognised by its name.
    """
    try:
        found = read_json(_path(stage), "remove it")
        if found["process"] != holder(stage):
            return {}, ""
        cells = {name: [*map(str, labels)] for name, labels in found["cells"].items()}
        return cells, str(found["left"])
    except (UserError, KeyError, TypeError, AttributeError, OSError):
        return {}, ""
