"""Pages that name variables and messages name those of the code; Sphinx checks the rest."""

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


def quoted(root: Path) -> list[str]:
    """The messages that the page of troubleshooting has in its first columns."""
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", page, flags=re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def test_messages_of_troubleshooting_are_those_of_the_code(root: Path) -> None:
    files = [*(root / "pipeline").rglob("*.py"), *(root / "scripts").glob("*.py")]
    files += [*(root / "gsa_core").rglob("*.py"), root / "Makefile"]
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")) for path in files)
    messages = quoted(root)
    assert len(messages) >= 20
    assert not [message for message in messages if message not in code]
