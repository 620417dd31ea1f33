"""Run the sweep of a fake study in the current folder."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import fake_study
import pandas as pd

from pipeline.confirm.plan import Run, plan_runs
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.engine import InProcess
from pipeline.execution.tasks import Context, perform
from pipeline.results import records, schemas
from pipeline.sweep import stage as sweep

TABLE = Path("data/sweep/digits/trials.parquet")


class Shuffled:
    """Workers that finish in an order drawn at random."""

    def __init__(self, slots: int, seed: int) -> None:
        self.slots, self.draw = slots, random.Random(seed)

    def run(self, function: Any, source: Any, data: Any, tick: Any) -> None:
        dispatcher, started = Dispatcher(source, self.slots, limit=60), 0
        while not dispatcher.finished:
            while dispatcher.take(str(started)) is not None:
                started += 1
            worker = self.draw.choice(list(dispatcher.out))
            context = Context(send=lambda row, worker=worker: dispatcher.epoch(worker, row))
            dispatcher.finish(worker, perform(function, dispatcher.out[worker][0], data, context))


def learning(task: Any, data: Any, context: Context) -> dict[str, Any]:
    """Learn towards what the learning rate allows, and stop where told to."""
    fake_study.note_start(task)
    config = task.payload["configuration"]
    row, stop = fake_study.fake_row(config), dict(config.get("stop_below", []))
    for epoch in range(1, config["epochs"] + 1):
        accuracy = row["validation_accuracy"] * (1 - 0.5**epoch)
        context.report({"epoch": epoch, "validation_accuracy": accuracy})
        if accuracy < stop.get(epoch, 0.0):
            row.update(status="stopped", reason="told to", epochs=epoch)
            break
    return {"row": row, "epochs": context.epochs}


def run(engine: Any = None, function: Any = learning, **section: Any) -> pd.DataFrame:
    """Run a sweep and return its trials."""
    section = {"group": ["C1"], "trials_per_cell": 30, "epochs": 9, **section}
    sweep.sweep(fake_study.study(**section), engine or InProcess(), function)
    return records.read(TABLE, schemas.TRIALS)


def runs_of(table: pd.DataFrame, **section: Any) -> list[Run]:
    """The runs that confirm plans from the trials of a fake study."""
    return plan_runs("digits", fake_study.study(**section), {"digits": table}, {})
