"""Entries as event files of TensorBoard, with a table of hyperparameters."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.schema import Params
from pipeline.tracking.entry import Entry

__all__ = ["TensorboardStore"]


class TensorboardStore:
    """A folder of event files for each entry.

    Parameters
    ----------
    params
        The study.
    folder
        Where the folders are made.
    final
        Not used: nothing in the files names their place.
    """

    def __init__(self, params: Params, folder: Path, final: Path | None = None) -> None:
        self.folder = folder

    def add(self, entry: Entry) -> None:
        """Write curves, hyperparameters and final metrics."""
        from torch.utils.tensorboard import SummaryWriter

        parameters = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in entry.parameters.items()
        }
        with SummaryWriter(str(self.folder / entry.name)) as writer:
            for epoch in entry.curves:
                for key, value in epoch.items():
                    if key != "epoch":
                        writer.add_scalar(f"epoch/{key}", value, int(epoch["epoch"]))
            writer.add_hparams(parameters, entry.metrics, run_name=".")

    def close(self) -> None:
        """Nothing is held in memory."""
