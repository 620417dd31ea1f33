"""Report every finished trial and run to a tracking tool, where `resources.track` names one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.failures import describe
from pipeline.study.schema import Params

__all__ = ["LiveTracking"]


class LiveTracking:
    """Hands finished trials and runs to the store of a tool, one at a time, from the driver.

    Results never depend on it: after a first error, such as a server that is gone, one line says
    so and nothing more is sent. What is missing there can be written by `export`.

    Parameters
    ----------
    params
        The study.
    stage
        ``sweep`` or ``confirm``.
    say
        Prints a line.

    Raises
    ------
    UserError
        The tool is not installed.
    """

    def __init__(self, params: Params, stage: str, say: Callable[[str], None]) -> None:
        self.study, self.stage, self.say = params.study, stage, say
        self.tool, self.store = params.resources.track, None
        if self.tool is None:
            return
        # By name: what is sent to a tool changes no result, so its code is none of the stage's.
        make = importlib.import_module("pipeline.tracking.registry").store_class(self.tool)
        self.entry_of = importlib.import_module("pipeline.tracking.entry").entry_of
        try:
            self.store = make(params)
        except Exception as error:
            self._stop(error)

    def finished(
        self,
        dataset: str,
        cell: str,
        number: int,
        configuration: Mapping[str, Any] | None,
        value: Mapping[str, Any],
    ) -> None:
        """Hand over a trial (by its number) or a run (by its seed) and all that it came to."""
        if self.store is None:
            return
        keys = {
            "study": self.study, "dataset": dataset, "cell": cell, "stage": self.stage,
            "number": number,
        }  # fmt: skip
        row = {**value["row"], **value.get("measures", {}).get("run", {})}
        try:
            self.store.add(self.entry_of(keys, configuration or {}, row, value["epochs"]))
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        if isinstance(error, UserError):
            raise error
        self.store = None
        reason = describe(error).splitlines()[0]
        self.say(
            f"{self.tool}: nothing more is sent to it: {reason}; results are kept, and "
            f"`python -m pipeline export` writes them at the end"
        )
