"""Validate params.yaml and print how large the study is; run nothing."""

from __future__ import annotations

from argparse import Namespace

from pipeline.common.commands import STAGES
from pipeline.common.errors import UserError
from pipeline.common.progress import wrapped
from pipeline.common.units import counted
from pipeline.prepare.sources.location import check_locations
from pipeline.study.cells import pairs, runs_of
from pipeline.study.params import load_params
from pipeline.study.tuning import chosen, searched
from pipeline.tools.support.room_warnings import room_warnings
from pipeline.tools.support.stage_running import stage_running

__all__ = ["main"]

ARGUMENTS = {
    "--time": {"action": "store_true", "help": "also say how long the whole study will take"},
    "--idle": {
        "action": "store_true",
        "help": "also refuse while a stage of a study runs in this folder",
    },
}


def main(given: Namespace | None = None) -> None:
    """Print the number of cells, trials and runs."""
    if given is not None and given.idle:
        _refuse_a_second()
    params = load_params()
    check_locations(params.prepare)
    number = len(pairs(params))
    searches = sum(len(searched(params, name)) for name in params.prepare.datasets)
    trials = searches * params.sweep.trials_per_cell
    runs = sum(runs_of(params, name) for name in params.prepare.datasets)
    sizes = counted(number, "cell"), counted(trials, "trial"), counted(runs, "run")
    print(f"params.yaml is a valid study: {', '.join(sizes)}")
    for line in (*chosen(params), *room_warnings(params.resources)):
        print(wrapped(line))
    if given is not None and given.time:
        from pipeline.tools.support.study_time import sentence  # seconds to import

        print(wrapped(sentence(params)), flush=True)


def _refuse_a_second() -> None:
    """Refuse a second `make study` in a folder before DVC does, in words of its own locks."""
    for stage in STAGES:
        if (how := stage_running(stage)) is not None:
            raise UserError(
                f"{stage} is {how}: a folder runs one study at a time; wait for it or end it "
                "(`python -m pipeline status` shows how far it is)"
            )
