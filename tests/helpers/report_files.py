"""A report with only the named figures. As a script: `report_files.py DATA FIGURE...`.

It prints the SHA-256 of every file. The pixels of the figures are few.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from pipeline.report import figures
from pipeline.report.analysis.analysis import analyse
from pipeline.report.files import pictures
from pipeline.report.load import Settings, load_study
from pipeline.report.stage import render

# Figures that a study with names of many kinds leaves out in `make test`.
SLOW = {"transformations", "hierarchy", "search", "winner", "effort", "heatmap", "differences"}


@contextmanager
def only(names: Sequence[str]) -> Iterator[None]:
    """Have a report draw these figures alone."""
    chosen = [name for name in figures.in_order() if name in names]
    few = mock.patch.object(pictures, "PNG_DOTS_PER_INCH", 40)
    with few, mock.patch.object(figures, "in_order", lambda: chosen):
        yield


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the checksum of every file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


if __name__ == "__main__":
    with only(sys.argv[2:]):
        study = load_study(Settings("digits"), Path(sys.argv[1]))
        print(json.dumps(checksums(render(analyse(study)))))
