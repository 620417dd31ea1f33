"""Print the code each stage of dvc.yaml runs; `--write` puts it there.

DVC re-runs a stage when a file it depends on changes, so a file that is missing from its list
makes results stale without a word. tests/test_imports.py compares the lists with what this finds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from pipeline.source_code import PACKAGES, entry, files_of  # noqa: E402

STAGES = ("prepare", "sweep", "confirm", "report")


def stage_code(stage: str) -> list[str]:
    """Paths of the code a stage runs, and of its packages' data, as dvc.yaml lists them."""
    return sorted(files_of(entry(stage, ROOT), ROOT))


def with_code(text: str) -> str:
    """The text of dvc.yaml with the code dependencies of every stage replaced."""
    lines: list[str] = []
    stage = ""
    for line in text.splitlines():
        if line.startswith("  ") and not line.startswith("   ") and line.strip()[:-1] in STAGES:
            stage = line.strip()[:-1]
        if not line.startswith(tuple(f"      - {package}/" for package in PACKAGES)):
            lines.append(line)
        if line == "    deps:":
            lines += [f"      - {path}" for path in stage_code(stage)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the code of every stage, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put it into dvc.yaml")
    if parser.parse_args().write:
        file = ROOT / "dvc.yaml"
        file.write_text(with_code(file.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for stage in STAGES:
        print(f"{stage}:", *stage_code(stage), sep="\n  ")


if __name__ == "__main__":
    main()
