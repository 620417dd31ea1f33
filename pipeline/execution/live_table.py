"""Tables of cells in a terminal: redrawn in place where it can, and as plain aligned lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.common.signals import end_unread

__all__ = [
    "TEST",
    "VALIDATION",
    "CellProgress",
    "Scores",
    "aligned",
    "head_of",
    "live_display",
    "table_of",
]


@dataclass(frozen=True)
class Scores:
    """What the scores of a stage are, and what is shown of those of a cell.

    Attributes
    ----------
    name
        Of which images a score is the accuracy.
    summed
        What is shown of several: the best, or the mean.
    head
        The heads of the columns that show it.
    """

    name: str
    summed: str
    head: tuple[str, ...]


# A search looks for the best trial; the seeds of a run are equals.
VALIDATION = Scores("validation", "best", ("best validation", "since"))
TEST = Scores("test", "mean", ("mean test",))


def head_of(scores: Scores, running: str = "running", first: str = "") -> tuple[str, ...]:
    """Return the heads of the columns; one more column, without a head, says what runs."""
    return (first, "done", running, "failed", *scores.head)


@dataclass
class CellProgress:
    """How far one cell is."""

    name: str
    total: int
    done: int = 0
    failed: int = 0
    scores: list[float] = field(default_factory=list)
    best_at: int = 0  # how many were done when the best was found
    running: dict[str, str] = field(default_factory=dict)

    def add(self, ok: bool, score: float | None) -> None:
        """Count a finished task."""
        self.done += 1
        self.failed += not ok
        if score is not None:
            if not self.scores or score > max(self.scores):
                self.best_at = self.done
            self.scores.append(score)

    def summed(self, scores: Scores) -> str:
        """Write the best or the mean score; nothing where there is none."""
        if not self.scores:
            return ""
        mean = sum(self.scores) / len(self.scores)
        return f"{100 * (mean if scores.summed == 'mean' else max(self.scores)):.1f} %"

    def columns(self, scores: Scores = VALIDATION) -> tuple[str, ...]:
        """Write the cell's line of the table; `since` is how many are done since the best."""
        since = str(self.done - self.best_at or "new") if self.scores else ""
        return (
            self.name,
            f"{self.done}/{self.total}",
            str(len(self.running) or ""),
            str(self.failed or ""),
            self.summed(scores),
            *([since] if "since" in scores.head else []),
            ", ".join(self.running.values()),
        )


class _Console(Console):
    """A terminal whose reader may go: the stage then ends, and its trials are not to blame."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, force_terminal=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """End the stage instead of the process."""
        end_unread()

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor as it is: a killed process could not show it again."""
        return False


def live_display(stream: TextIO) -> Live:
    """Return a display that is redrawn in place, on request."""
    return Live(
        console=_Console(stream), auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )


def table_of(rows: Sequence[tuple[str, ...]]) -> Table:
    """Lay out rows, the first of which are heads; numbers to the right."""
    head, *body = rows
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="bold")
    for place in range(max(map(len, rows))):
        # The first column is a name and the last, where it has no head, says what runs.
        text = place == 0 or place >= len(head)
        table.add_column(
            head[place] if place < len(head) else "", justify="left" if text else "right",
            no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
    for row in body:
        table.add_row(*map(Text, row))
    return table


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Write rows as lines whose columns are aligned, as `table_of` lays them out.

    >>> aligned([("", "done", "best"), ("C4", "3/12", "9.5 %"), ("D4", "12/12", "98.5 %")])
    ['       done    best', '  C4   3/12   9.5 %', '  D4  12/12  98.5 %']
    """
    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(table_of(rows))
    return [line.rstrip() for line in text.getvalue().splitlines()]
