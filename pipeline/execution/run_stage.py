"""How sweep and confirm run as commands: checks, lock, engine, and every way to end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
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
from pipeline.study.schema import Params

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


def run_stage(stage: str, params: Params, function: Callable[[Params, Engine], None]) -> None:
    """Run a stage; exit 1 when all of it failed, 128 + the signal that ended it."""
    given_commit()
    check_room(Path())
    if os.environ.get("GSA_ENGINE") != "in-process":
        check_asked(params.resources.address)
    print(f"{stage}: starting", flush=True)
    try:
        with explaining(), ending_on_signals(), stage_lock(stage):
            if params.resources.gpus_per_trial == "auto":
                from pipeline.execution.gpu_share import shared

                params = shared(params)
            resources = with_workers(params.resources)
            params = params.model_copy(update={"resources": resources})
            function(params, make_engine(resources, ROOT / stage / "ray"))
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
