"""Entries as runs of a trackio project."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pipeline.study.schema import Params
from pipeline.tracking.entry import Entry

__all__ = ["TrackioStore"]


class TrackioStore:
    """A project with the name of the study.

    Parameters
    ----------
    params
        The study.
    folder
        Where the database is made; None is what TRACKIO_DIR says.
    final
        Not used: nothing in the database names its place.
    """

    def __init__(
        self, params: Params, folder: Path | None = None, final: Path | None = None
    ) -> None:
        if folder is not None:
            os.environ["TRACKIO_DIR"] = str(folder.absolute())  # read when it is imported
        import trackio

        self.study, self.trackio = params.study, trackio

    def add(self, entry: Entry) -> None:
        """Write a run with its configuration, curves and final metrics."""
        config = {**entry.parameters, **entry.tags}
        with redirect_stdout(StringIO()):  # it greets every run
            run = self.trackio.init(
                project=self.study, name=entry.name, group=entry.cell, config=config, embed=False,
                auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip
            for epoch in entry.curves:
                values = {f"epoch/{key}": value for key, value in epoch.items() if key != "epoch"}
                run.log(values, step=int(epoch["epoch"]))
            run.log(entry.metrics, step=len(entry.curves))
            run.finish()

    def close(self) -> None:
        """Nothing is held in memory."""
