"""The log of a task: its warnings, log records and notes, sent with its result."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.common.failures import harmless

__all__ = ["Log"]

# The last of so many lines are kept, each cut to so many characters: a log is kept with its row.
LINES, LENGTH = 200, 1000


class Log(logging.Handler):
    """The last lines said in one task, each with its time (UTC)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LINES)
        self.count = 0
        self.listener = 0

    def __str__(self) -> str:
        """All lines that were kept, and how many were not."""
        lost = self.count - len(self.lines)
        head = [f"({lost} earlier lines are not kept)"] if lost else []
        return "\n".join([*head, *self.lines])

    def add(self, text: str) -> None:
        """Add a line; what has several becomes one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.lines.append(f"{moment} {harmless(' '.join(text[: 8 * LENGTH].split()))[:LENGTH]}")
        self.count += 1

    def emit(self, record: logging.LogRecord) -> None:
        """Take a log record of the task's own thread."""
        if record.thread == self.listener:
            self.add(f"{record.levelname} {record.name}: {record.getMessage()}")

    @contextmanager
    def listening(self, device: str) -> Iterator[None]:
        """Take what `logging` and `warnings` say in this thread; it is shown elsewhere as well."""
        self.listener = threading.get_ident()
        self.add(f"started on {socket.gethostname()}, process {os.getpid()}, {device}")
        root = logging.getLogger()
        root.addHandler(self)
        try:
            # It also repeats a warning that an earlier task has shown.
            with warnings.catch_warnings():
                show = warnings.showwarning

                def warned(message: Any, kind: Any, path: str, line: int, *rest: Any) -> None:
                    place = "/".join(path.split(os.sep)[-2:])
                    self.add(f"{kind.__name__}: {message} ({place}:{line})")
                    show(message, kind, path, line, *rest)

                warnings.showwarning = warned  # type: ignore[assignment]
                yield
        finally:
            root.removeHandler(self)
