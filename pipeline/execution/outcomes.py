"""What the sources of sweep and confirm have in common: results as rows, and notes shown."""

from __future__ import annotations

import math
from typing import Any

from pipeline.execution.progress import Progress
from pipeline.execution.tasks import Result

__all__ = ["EngineNotes", "outcome"]

# What of a result must be a number: of a trial in its row, of a run in its measures.
NUMBERS = ("validation_accuracy", "validation_accuracy_turned", "validation_invariance_error")
MEASURED = ("test_accuracy", "test_accuracy_turned", "invariance_error", "consistency")


def outcome(result: Result) -> dict[str, Any]:
    """Turn a result into a row and its epochs: a failure is a row too, NaN never a score."""
    if result.status != "finished":
        row = {"status": result.status, "reason": result.reason, "seconds": result.seconds}
        return {"row": row, "epochs": result.epochs, "log": result.log}
    value = {**result.value, "row": dict(result.value["row"]), "log": result.log}
    row, measures = value["row"], value.get("measures", {}).get("run", {})
    found = {**{name: row.get(name) for name in NUMBERS},
             **{name: measures.get(name) for name in MEASURED}}  # fmt: skip
    wrong = [name for name, x in found.items() if x is not None and not math.isfinite(x)]
    if row["status"] == "completed" and wrong:
        row.update(status="diverged", reason=f"the {wrong[0].replace('_', ' ')} is not a number")
    return value


class EngineNotes:
    """What both sources do with a note of the engine."""

    progress: Progress

    def note(self, text: str) -> None:
        """Show a note of the engine."""
        self.progress.say(text)

    def machines(self, text: str) -> None:
        """Show what the engine says of its nodes."""
        self.progress.machines = text
