"""Tracking tools by name: the class of their store, what they need, how they are opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pipeline.common.errors import UserError

__all__ = ["LIVE", "TOOLS", "Tool", "store_class"]


@dataclass(frozen=True)
class Tool:
    """A tracking tool.

    Attributes
    ----------
    store
        Module and class of its store.
    package
        Import name of what it needs, an extra of this project too; empty where nothing is needed.
    look
        The command that shows an exported folder; ``{folder}`` is the folder.
    stages
        Those whose trials and runs it takes.
    """

    store: str
    package: str
    look: str = ""
    stages: tuple[str, ...] = ("sweep", "confirm")


TOOLS = {
    "optuna": Tool(
        "optuna_store.OptunaStore", "", "optuna-dashboard sqlite:///{folder}/study.db",
        ("sweep",),
    ),
    "mlflow": Tool(
        "mlflow_store.MlflowStore", "mlflow",
        "mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db",
    ),
    "trackio": Tool("trackio_store.TrackioStore", "trackio", "TRACKIO_DIR={folder} trackio show"),
    "tensorboard": Tool(
        "tensorboard_store.TensorboardStore", "tensorboard", "tensorboard --logdir {folder}"
    ),
    "csv": Tool("csv_store.CsvStore", ""),
    "wandb": Tool("wandb_store.WandbStore", "wandb"),
}  # fmt: skip
LIVE = ("mlflow", "trackio", "wandb")


def store_class(name: str) -> Callable[..., Any]:
    """Return the class of a tool's store.

    Raises
    ------
    UserError
        What the tool needs is not installed.
    """
    tool = TOOLS[name]
    if tool.package and find_spec(tool.package) is None:
        raise UserError(
            f"{name} is not installed in this environment: run `pip install -e '.[{name}]'`"
        )
    module, _, chosen = tool.store.partition(".")
    found: Callable[..., Any] = getattr(
        importlib.import_module(f"pipeline.tracking.{module}"), chosen
    )
    return found
