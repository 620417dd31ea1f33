"""A report with only the named figures. As a script: `report_files.py DATA FIGURE...`.

It prints the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from pipeline.report import figures
from pipeline.report.analysis.analysis import analyse
from pipeline.report.load import Settings, load_study
from pipeline.report.stage import render


@contextmanager
def only(names: Sequence[str]) -> Iterator[None]:
    """Have a report draw these figures alone."""
    chosen = [name for name in figures.in_order() if name in names]
    with mock.patch.object(figures, "in_order", lambda: chosen):
        yield


def checksums(data: Path, names: Sequence[str]) -> dict[str, str]:
    """Render the report below `data`; return the checksum of every file."""
    with only(names):
        files = render(analyse(load_study(Settings("digits"), data)))
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


if __name__ == "__main__":
    print(json.dumps(checksums(Path(sys.argv[1]), sys.argv[2:])))
