"""Whether a worker has the code that the driver has: results of two versions are never mixed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import cache

from pipeline.execution.state import PROJECT, file_digests, versions

__all__ = ["TRAINING", "code_here", "difference"]

# The code that decides what comes of a configuration.
TRAINING = (
    "gsa_core",
    "pipeline/attempt.py",
    "pipeline/augment.py",
    "pipeline/snapshot.py",
    "pipeline/training.py",
)
# And what workers do with it.
WORK = (*TRAINING, "pipeline/trial.py", "pipeline/confirmation.py", "pipeline/measuring")


@cache
def code_here() -> dict[str, str]:
    """Return digests of the files and versions of the libraries that results depend on.

    As they were when this was first asked, in a worker before its first task: a file that is
    edited later is not what the worker has loaded.
    """
    return {**file_digests(WORK), **versions()}


def difference(driver: Mapping[str, str]) -> str | None:
    """Say how this worker's code differs from the driver's; None where it does not."""
    mine = code_here()
    names = sorted(driver.keys() | mine.keys())
    differ = [name for name in names if driver.get(name) != mine.get(name)]
    if not differ:
        return None
    more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
    return (
        f"{socket.gethostname()} has another version of {', '.join(differ[:3])}{more} than the "
        f"driver (in {PROJECT}); bring all hosts to one version and run the same command again"
    )
