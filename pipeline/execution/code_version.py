"""Whether a worker has the code that the driver has: results of two versions are never mixed."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pipeline.execution.code_dependencies import PROJECT, files_of, module_name, raw_digest, read
from pipeline.execution.state_folder import versions

__all__ = ["code_for", "difference"]

EDITED = "edited while it was imported"
# Libraries that a machine may lack: the modules that need them are then imported by nothing.
OPTIONAL = {"triton"}


def code_for(function: Any) -> dict[str, str]:
    """Return digests of the files that workers run for a work function, and library versions.

    As the driver read them first, which is what it named the state of the stage after.
    """
    files = files_of(["pipeline.execution.ray_engine", function.__module__])
    return {**{name: read(file).raw for name, file in files.items()}, **versions()}


def difference(driver: Mapping[str, str]) -> str | None:
    """Say how this worker's code differs from the driver's; None where it does not."""
    mine = loaded_digests(tuple(sorted(driver)))
    differ = [name for name in sorted(driver) if driver[name] != mine.get(name)]
    if not differ:
        return None
    more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
    return (
        f"{socket.gethostname()} has another version of {', '.join(differ[:3])}{more} than the "
        f"driver (in {PROJECT}): bring all hosts to one version, or leave the code as it is while "
        "a stage runs; then run the same command again"
    )


@cache
def loaded_digests(names: tuple[str, ...]) -> dict[str, str | None]:
    """Import all that the driver names, once a process, and return digests of what was imported.

    Nothing of it is imported later, so a file that is edited afterwards changes no result.
    """
    files = {name: PROJECT / name for name in names if "/" in name}
    before = _digests(files.items())
    for name, file in files.items():
        if file.suffix == ".py" and before[name] is not None:
            try:
                importlib.import_module(module_name(file))
            except ModuleNotFoundError as error:
                if error.name not in OPTIONAL:
                    raise
    after = _digests(files.items())
    digests = {name: after[name] if after[name] == before[name] else EDITED for name in files}
    return {**digests, **versions()}


def _digests(files: Iterable[tuple[str, Any]]) -> dict[str, str | None]:
    return {name: raw_digest(file) for name, file in files}
