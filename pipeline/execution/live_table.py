"""Tables in a terminal: drawn in place where it can redraw, and as plain aligned lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.common.signals import end_unread

__all__ = ["aligned", "live_display", "table_of"]


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
