"""Print where the report is and what it found."""

from __future__ import annotations

import html
import re
from pathlib import Path

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.failures import harmless
from pipeline.common.progress import wrapped
from pipeline.study.params import load_params
from pipeline.tools.support.history import Workspace

__all__ = ["earlier_tables", "main", "note_after_failure", "other_study", "reported_study"]

CACHE = Path(".dvc/cache/files/md5")
REPORT, METRICS = Path("reports/index.html"), Path("reports/metrics.json")


def main(given: object = None) -> None:
    """Print the place of the report and its summary."""
    again = "run `make study` first"
    try:
        found = mapping(read_json(METRICS, again), str(METRICS), again)["summary"]
    except (UserError, KeyError):
        raise UserError(f"{METRICS}: no result yet; {again}") from None
    print(wrapped(f"Report: {REPORT}\nFound:  {harmless(str(found))}"))
    if (other := other_study()) is not None:
        print(wrapped(f"Note:   {other}"))


def other_study() -> str | None:
    """Say that the report is not of the study that params.yaml states now, if so.

    A clone has the report of the default study, which is not to be taken for one's own.
    """
    reported = reported_study()
    try:
        stated = load_params().study
    except UserError:
        return None
    if reported in (None, stated):
        return None
    return (
        f"{REPORT} is still the report of the study {reported}; `make study` replaces it by that "
        f"of {stated}"
    )


def note_after_failure() -> str | None:
    """Say that a report that is there was not made by the stage that has just failed."""
    reported = reported_study()
    if reported is None:
        return None
    return f"{REPORT} was made before this failure; it is the report of the study {reported}"


def earlier_tables(stage: str) -> str | None:
    """Say how to read the tables of a stage, whose folder DVC removes before the stage runs.

    None where the folder is there, or DVC's cache has no earlier one.
    """
    folder = f"data/{stage}"
    if Path(folder).exists():
        return None
    try:
        outputs = [outs for _, outs in Workspace().lock.values()]
    except UserError:
        return None
    checksum = next((outs[folder] for outs in outputs if folder in outs), None)
    if checksum is None or not (CACHE / checksum[:2] / checksum[2:]).is_file():
        return None
    copied = f"`dvc get . {folder} -o earlier` copies the last"
    return f"{folder} is missing until the stage ends ({copied})"


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
