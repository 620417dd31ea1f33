"""Print what changed between versions of the study, and whether it matters.

Versions are tags, commits or `workspace`; none is checked out.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.study.params import parse_yaml
from pipeline.tools.support.history import FETCH, Version, Workspace, git, open_version
from pipeline.tools.support.version_results import Results, results_differences

__all__ = ["compare", "main"]

ARGUMENTS = {
    "first": {"metavar": "A", "help": "what the others are compared with"},
    "others": {"metavar": "B", "nargs": "+", "help": "one version or more"},
}
AnyVersion = Version | Workspace
# They say where and how fast, never what.
HARMLESS = "resources"
MOST = 12  # lines of one kind; the rest is counted


def main(given: Namespace) -> None:
    """Print the differences of every further version to the first."""
    first, *others = [open_version(name) for name in (given.first, *given.others)]
    for other in others:
        print("\n".join(compare(first, other)))


def compare(first: AnyVersion, other: AnyVersion) -> Iterator[str]:
    """Yield lines that say what differs in parameters, data, code, environment and results."""
    yield f"{first.name} ({_short(first)}) -> {other.name} ({_short(other)})"
    # Rows that were read twice by a stage of equal inputs are equal: read each version once.
    old, new = Results.of(first), Results.of(other)
    sections = {
        "parameters": parameter_differences(first, other),
        "data": data_differences(first, other),
        "code": code_differences(first, other),
        "environment": old.environment_differences(new),
    }
    for name, lines in sections.items():
        yield from _section(name, lines)
    same_data = not sections["data"]
    lines, conclusion = results_differences(old, new, same_data)
    yield from _section("results", lines, limit=1000)
    changed = [name for name, found in sections.items() if found]
    yield f"  changed: {', '.join(changed) or 'nothing'}; {conclusion}"


def parameter_differences(first: AnyVersion, other: AnyVersion) -> list[str]:
    """Return the parameters of the results that differ, as `sweep.epochs: 8 -> 12`.

    They are those of `dvc.lock`: `params.yaml` may be of a study that was not run yet, which is
    said after them.
    """
    lines = _changes(_made_with(first), _made_with(other))
    for version in (first, other):
        now = _flat(_params(version))
        if later := _changes(_made_with(version), now):
            rest = f", and {len(later) - 3} more" if len(later) > 3 else ""
            lines.append(
                f"{version.name}: its params.yaml is of a study that was not run: "
                f"{', '.join(later[:3])}{rest}"
            )
    return lines


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    lines = []
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key) or (key in before) != (key in after):
            harmless = "   (where and how fast: no result)" if key.startswith(HARMLESS) else ""
            lines.append(f"{key}: {_value(before, key)} -> {_value(after, key)}{harmless}")
    return lines


def data_differences(first: AnyVersion, other: AnyVersion) -> list[str]:
    """Return the prepared data sets that differ, with their sizes."""
    before, after = _cards(first), _cards(other)
    lines = []
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            lines.append(f"{name}: only in {(first if name in before else other).name}")
        elif before[name] != after[name]:
            lines.append(f"{name}: {_sizes(before[name])} -> {_sizes(after[name])}")
    return lines


def code_differences(first: AnyVersion, other: AnyVersion) -> list[str]:
    """Return the files that the stages ran and that differ, with the stages that ran them."""
    before, after = _code(first), _code(other)
    lines = []
    for path in sorted({*before, *after}):
        one, two = before.get(path), after.get(path)
        if one is None or two is None:
            lines.append(f"{path}: {'gone' if two is None else 'new'}")
        elif one[0] != two[0]:
            lines.append(f"{path}: changed ({', '.join(two[1])})")
    return lines


def _section(name: str, lines: list[str], limit: int = MOST) -> Iterator[str]:
    yield f"  {name}: {'the same' if not lines else ''}".rstrip()
    yield from (f"    {line}" for line in lines[:limit])
    if len(lines) > limit:
        yield f"    and {len(lines) - limit} more"


def _short(version: AnyVersion) -> str:
    try:
        return git("log", "-1", "--format=%h, %as", version.commit)
    except UserError:
        return "no commit"


def _params(version: AnyVersion) -> Any:
    text = version.text("params.yaml")
    if text is None:
        raise UserError(f"{version.name}: has no params.yaml, so it is no version of a study")
    return parse_yaml(text, f"{version.name}: params.yaml").values


def _made_with(version: AnyVersion) -> dict[str, str]:
    """Parameters of the results of a version; of what no stage depends on, as they are now."""
    found = _flat(_params(version))
    for section, value in version.made_with().items():
        for key in [key for key in found if key == section or key.startswith(f"{section}.")]:
            del found[key]
        found |= _flat(value, section)
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: json.dumps(value, default=str)}


def _value(flat: dict[str, str], key: str) -> str:
    return flat.get(key, "not there")


def _cards(version: AnyVersion) -> dict[str, Any]:
    files = version.outputs("data/prepare")
    names = [path for path in files if path.endswith("/card.json")]
    return {path.split("/")[0]: read_json(files[path], FETCH) for path in names}


def _sizes(card: Any) -> str:
    counts = card.get("counts", {}) if isinstance(card, dict) else {}
    counts = counts if isinstance(counts, dict) else {}
    sizes = {
        split: found.get("total") if isinstance(found, dict) else found
        for split, found in counts.items()
    }
    return ", ".join(f"{split} {size}" for split, size in sizes.items()) or "other images"


def _code(version: AnyVersion) -> dict[str, tuple[str, list[str]]]:
    """Checksum of every code file that a stage ran, and the stages that did."""
    found: dict[str, tuple[str, list[str]]] = {}
    for stage, (deps, _) in version.lock.items():
        for path, md5 in deps.items():
            if not path.startswith("data/"):
                found[path] = md5, [*found.get(path, ("", []))[1], stage]
    return found
