"""Entries as runs of an MLflow experiment."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from pipeline.study.schema import Params
from pipeline.tracking.entry import Entry

__all__ = ["MlflowStore"]

MOST_METRICS, MOST_PARAMETERS = 1000, 100  # that a server takes at once


class MlflowStore:
    """An experiment with the name of the study.

    Parameters
    ----------
    params
        The study.
    folder
        Where `mlflow.db` is made; None is what MLFLOW_TRACKING_URI says.
    final
        Where the folder will lie in the end.
    """

    def __init__(
        self, params: Params, folder: Path | None = None, final: Path | None = None
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self.metric, self.parameter = Metric, Param
        address = None if folder is None else f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=address)
        known = self.client.get_experiment_by_name(params.study)
        place = None if final is None else (final.absolute() / "artifacts").as_uri()
        self.experiment = (
            self.client.create_experiment(params.study, artifact_location=place)
            if known is None
            else known.experiment_id
        )

    def add(self, entry: Entry) -> None:
        """Write a run with its parameters, final metrics and curves."""
        run = self.client.create_run(self.experiment, run_name=entry.name, tags=entry.tags)
        now, last = int(1000 * time.time()), len(entry.curves)
        metrics = [
            self.metric(f"epoch/{key}", value, now, int(epoch["epoch"]))
            for epoch in entry.curves
            for key, value in epoch.items()
            if key != "epoch"
        ]
        metrics += [self.metric(key, value, now, last) for key, value in entry.metrics.items()]
        parameters = [
            self.parameter(key, str(value)[:6000]) for key, value in entry.parameters.items()
        ]
        name = run.info.run_id
        for first in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(name, metrics=metrics[first : first + MOST_METRICS])
        for first in range(0, len(parameters), MOST_PARAMETERS):
            self.client.log_batch(name, params=parameters[first : first + MOST_PARAMETERS])
        self.client.set_terminated(name, "FINISHED" if entry.ok else "FAILED")

    def close(self) -> None:
        """Nothing is held in memory."""
