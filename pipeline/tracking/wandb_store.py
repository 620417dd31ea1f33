"""Entries as runs of a W&B project."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.schema import Params
from pipeline.tracking.entry import Entry

__all__ = ["WandbStore"]


class WandbStore:
    """A project with the name of the study, as WANDB_MODE, WANDB_ENTITY and others say.

    Parameters
    ----------
    params
        The study.
    folder, final
        Where its folder `wandb` is made; None is what WANDB_DIR says.
    """

    def __init__(
        self, params: Params, folder: Path | None = None, final: Path | None = None
    ) -> None:
        import wandb

        self.study, self.folder, self.wandb = params.study, folder, wandb

    def add(self, entry: Entry) -> None:
        """Write a run with its configuration, curves and summary."""
        run = self.wandb.init(
            project=self.study, name=entry.name, group=entry.cell, job_type=entry.stage,
            config=entry.parameters, tags=[entry.dataset, entry.status], dir=self.folder,
            reinit="create_new", settings=self.wandb.Settings(silent=True),
        )  # fmt: skip
        for epoch in entry.curves:
            values = {f"epoch/{key}": value for key, value in epoch.items() if key != "epoch"}
            run.log(values, step=int(epoch["epoch"]))
        run.summary.update(entry.metrics)
        run.finish(exit_code=0 if entry.ok else 1)

    def close(self) -> None:
        """Nothing is held in memory."""
