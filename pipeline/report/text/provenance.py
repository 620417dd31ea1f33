"""Provenance of every file, and warnings about it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pandas as pd

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.text.formatting import counted, listed, plain

# In the order of importance; whatever else a file carries follows.
FIRST = (
    "git_commit",
    "git_dirty",
    "params_sha256",
    "data_sha256",
    "sweep_sha256",
    "confirm_sha256",
    "schema_version",
)
NAMES = {
    "git_commit": "commit", "git_dirty": "uncommitted changes", "params_sha256": "parameters",
    "data_sha256": "data", "sweep_sha256": "section `sweep`",
    "confirm_sha256": "sections `sweep` and `confirm`", "schema_version": "schema version",
}  # fmt: skip


def table(analysis: Analysis) -> pd.DataFrame:
    """Return one row per property: its value, or the values of the files where they differ."""
    sources = analysis.study.sources
    elsewhere = {"data_notes", "data_symmetry", "class_names"}  # warnings, tables, figures
    known = {key for source in sources for key in source.provenance} - elsewhere
    keys = [key for key in FIRST if key in known] + sorted(known - set(FIRST))
    rows = []
    for key in keys:
        by_value: dict[str, list[str]] = {}
        for source in sources:
            if key in source.provenance and source.provenance[key] is not None:
                by_value.setdefault(_text(source.provenance[key]), []).append(source.path)
        if len(by_value) == 1:
            value = next(iter(by_value))
        else:
            value = "; ".join(f"{v} ({listed(paths, 2)})" for v, paths in by_value.items())
        rows.append((NAMES.get(key, key), value or "unknown"))
    rows.append(("seeds", listed(_seeds(analysis), 20)))
    rows.append(("devices", listed(sorted({plain(d) for d in analysis.runs["device"].dropna()}))))
    rows += [(source.path, f"{source.rows} rows") for source in sources]
    return pd.DataFrame(rows, columns=["what", "value"])


def endings(analysis: Analysis) -> dict[str, int]:
    """Count the cells whose search ended before their budget was spent, by the reason."""
    sources = analysis.study.sources
    return dict(Counter(why for s in sources for why in s.provenance.get("ended", {}).values()))


def warnings(analysis: Analysis) -> list[str]:
    """Return the warnings at the top of the page."""
    sources, found = analysis.study.sources, []
    dirty = [s.path for s in sources if str(s.provenance.get("git_dirty")).lower() == "true"]
    if dirty:
        found.append(
            "Made with uncommitted changes: the commit below does not identify all the code "
            f"({listed(dirty, 3)})."
        )
    commits = {s.provenance.get("git_commit") for s in sources}
    if commits in ({None}, set()):
        found.append("The commit is unknown: these results cannot be traced to code.")
    for key, name in (("git_commit", "commits"), ("params_sha256", "parameters")):
        values = {_text(s.provenance[key]) for s in sources if s.provenance.get(key)}
        if len(values) > 1:
            short = [value[:10] for value in sorted(values)]
            found.append(
                f"The stages ran with {len(values)} different {name} ({listed(short, 3)}): "
                "`dvc repro` runs a stage again only after a change that concerns it."
            )
    found += [
        f"The search of {counted(count, 'cell')} ended before all trials had run: {plain(reason)}."
        for reason, count in endings(analysis).items()
    ]
    notes = [
        f"{plain(source.path.split('/')[1], 40)}: {plain(note, 300)}."
        for source in sources
        for note in source.provenance.get("data_notes", [])
    ]
    found += dict.fromkeys(notes)  # every file of a data set has them
    found += [f"Missing: {plain(name, 80)}." for name in analysis.study.absent]
    return found


def commit(analysis: Analysis) -> str:
    """Return the commit of the runs, marked when the tree was dirty."""
    for source in reversed(analysis.study.sources):
        if source.provenance.get("git_commit"):
            dirty = str(source.provenance.get("git_dirty")).lower() == "true"
            short = plain(str(source.provenance["git_commit"])[:12])
            return short + (" + uncommitted changes" if dirty else "")
    return "unknown commit"


def _seeds(analysis: Analysis) -> list[str]:
    return [str(int(seed)) for seed in sorted(analysis.runs["seed"].dropna().unique())]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value if isinstance(value, str) else json.dumps(value, sort_keys=True), 80)
