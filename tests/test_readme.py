"""The README's example runs, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
# A study makes these; before the first one they are not there.
MADE = ("reports/",)


def blocks(language: str) -> list[str]:
    """Code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_library_example_runs() -> None:
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line]) <= 12
    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_link_leads_to_a_file(root: Path, target: str) -> None:
    if not target.startswith(MADE):
        assert (root / target).is_file()


def test_tree_names_what_is_there(root: Path) -> None:
    tree = next(block for block in blocks("") if block.startswith("params.yaml"))
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        if not (folder + name).startswith((*MADE, "data/")):
            assert (root / folder / name).exists(), folder + name
        folder = name if not line.startswith(" ") and name.endswith("/") else folder
