"""How sweep and confirm run as commands: checks, lock, engine, and every way to end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import explaining
from pipeline.common.signals import Interrupted, ending_on_signals
from pipeline.common.units import size
from pipeline.execution.cluster_address import check_asked
from pipeline.execution.engine import Engine, make_engine
from pipeline.execution.parallel_trials import with_workers
from pipeline.execution.state_folder import ROOT, stage_lock
from pipeline.execution.tasks import CannotWork
from pipeline.results.provenance import given_commit
from pipeline.study.schema import Resources

NEEDED = 20_000_000  # bytes on the disk; the smallest study writes about as much


class StageFailed(Exception):
    """The stage ran to its end and wrote its tables, but nothing in it completed."""


def check_room(folder: Path) -> None:
    """Refuse to start where results could not be written."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED:
        raise UserError(
            f"{folder.absolute()}: has {size(free)} free, and a stage writes more; "
            "make room and run the same command again"
        )


@contextmanager
def running_stage(
    stage: str, resources: Resources, auto_share: Callable[[], float]
) -> Iterator[tuple[Resources, Engine]]:
    """Check and lock a stage; exit 1 when all of it failed, 128 + the signal that ended it.

    Parameters
    ----------
    stage
        Its name.
    resources
        As the study states them.
    auto_share
        Finds the share of a GPU that a trial gets where `gpus_per_trial` is `auto`.

    Yields
    ------
    resources
        The same with numbers for what is `auto` and depends on this machine alone.
    engine
        Runs the tasks of the stage on them.
    """
    given_commit()
    check_room(Path())
    if os.environ.get("GSA_ENGINE") != "in-process":
        check_asked(resources.address)
    print(f"{stage}: starting", flush=True)
    try:
        with explaining(), ending_on_signals(), stage_lock(stage):
            if resources.gpus_per_trial == "auto":
                resources = resources.model_copy(update={"gpus_per_trial": auto_share()})
            resources = with_workers(resources)
            yield resources, make_engine(resources, ROOT / stage / "ray")
    except Interrupted as stopped:
        if stopped.number != signal.SIGPIPE:  # which ends a command silently
            print(
                f"{stage}: ended by {stopped}; what is finished is kept, the same command resumes",
                file=sys.stderr,
            )
        sys.exit(128 + stopped.number)
    except (CannotWork, StageFailed) as failure:
        print(f"{stage}: {failure}", file=sys.stderr)
        sys.exit(1)
