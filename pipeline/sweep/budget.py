"""The budget of a whole sweep: hours of wall-clock time and of GPUs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Hours a whole sweep may take, earlier starts included; None is unlimited.

    Attributes
    ----------
    hours, gpu_hours
        Wall-clock hours while the sweep runs; hours of the GPUs that trials held.
    gpus
        GPUs a trial holds.
    seconds, gpu_seconds
        Used by earlier starts, and by trials.
    """

    hours: float | None = None
    gpu_hours: float | None = None
    gpus: float = 0.0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds of all starts together."""
        return self.seconds + time.monotonic() - self.begun

    def restore(self, elapsed: float, seconds: float) -> None:
        """Count a trial of an earlier start, which ended when so much had elapsed."""
        self.seconds = max(self.seconds, elapsed)
        self.gpu_seconds += seconds * self.gpus

    @property
    def used_up(self) -> str | None:
        """Why no further trial may start, if none may."""
        if self.hours is not None and self.elapsed >= 3600 * self.hours:
            return f"the {self.hours:g} hours of sweep.budget are over"
        if self.gpu_hours is not None and self.gpu_seconds >= 3600 * self.gpu_hours:
            return f"the {self.gpu_hours:g} GPU hours of sweep.budget are spent"
        return None
