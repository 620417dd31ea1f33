"""Say where the report is and what it found."""

from __future__ import annotations

from pathlib import Path

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.failures import harmless

__all__ = ["main"]

REPORT, METRICS = Path("reports/index.html"), Path("reports/metrics.json")


def main(given: object = None) -> None:
    """Print the place of the report and its summary."""
    again = "run `make study` first"
    try:
        found = mapping(read_json(METRICS, again), str(METRICS), again)["summary"]
    except (UserError, KeyError):
        raise UserError(f"{METRICS}: no result yet; {again}") from None
    print(f"Report: {REPORT}\nFound:  {harmless(str(found))}")
