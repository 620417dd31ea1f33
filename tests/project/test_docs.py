"""The reference of environment variables is whole; Sphinx checks the other pages."""

from __future__ import annotations

import re
from pathlib import Path


def variables(root: Path) -> list[str]:
    """The variables that code of the project reads by name."""
    found: set[str] = set()
    for folder in ("gsa_core", "pipeline"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"(GSA_[A-Z_]+)\"", text))
    return sorted(found)


def test_every_variable_is_in_the_reference(root: Path) -> None:
    page = (root / "docs/environment.md").read_text(encoding="utf-8")
    read = variables(root)
    assert "GSA_STATE" in read
    assert not [name for name in read if f"`{name}`" not in page]
