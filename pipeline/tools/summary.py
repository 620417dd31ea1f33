"""Print where the report is and what it found."""

from __future__ import annotations

import html
import re
from pathlib import Path

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.failures import harmless
from pipeline.study.params import load_params

__all__ = ["main", "reported_study"]

REPORT, METRICS = Path("reports/index.html"), Path("reports/metrics.json")


def main(given: object = None) -> None:
    """Print the place of the report and its summary."""
    again = "run `make study` first"
    try:
        found = mapping(read_json(METRICS, again), str(METRICS), again)["summary"]
    except (UserError, KeyError):
        raise UserError(f"{METRICS}: no result yet; {again}") from None
    print(f"Report: {REPORT}\nFound:  {harmless(str(found))}")
    if (other := other_study()) is not None:
        print(f"Note:   {other}")


def other_study() -> str | None:
    """Say that the report is not of the study that params.yaml states now, if so."""
    reported = reported_study()
    try:
        stated = load_params().study
    except UserError:
        return None
    if reported in (None, stated):
        return None
    return f"this is of the study {reported}; `make study` makes the report of {stated}"


def reported_study() -> str | None:
    """Return the study of the report, by its title; None without a report, or for a link."""
    try:
        if REPORT.is_symlink():
            return None
        with REPORT.open(encoding="utf-8", errors="replace") as page:
            found = re.search(r"<title>(.*): report</title>", page.read(4096))
    except OSError:
        return None
    return None if found is None else harmless(html.unescape(found[1]))
