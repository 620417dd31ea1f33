"""The command line: `python -m pipeline COMMAND`; `pipeline.common.commands` says what one is."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress

from pipeline.common.commands import STAGES, commands, parse
from pipeline.common.errors import main as run


def main() -> None:
    """Run the command that the arguments name."""
    given = parse(sys.argv[1:])
    if given.command in STAGES:
        from pipeline.study.params import load_params

        params = load_params()  # before a stage is imported, since torch takes seconds
        look = getattr(given, "look", False)
        name = f"pipeline.{given.command}.{'look' if look else 'stage'}"
        importlib.import_module(name).main(params)
        return
    importlib.import_module(commands()[given.command].module).main(given)


def after_failure(interrupted: bool = False) -> str | None:
    """Say of a stage that has not finished which report is there, and where earlier tables are."""
    if sys.argv[1:] and sys.argv[1] in STAGES and len(sys.argv) == 2:
        with suppress(ImportError):  # which the stage may have failed by
            from pipeline.tools.summary import earlier_tables, note_after_failure, other_study

            report = other_study() if interrupted else note_after_failure()
            said = [text for text in (report, earlier_tables(sys.argv[1])) if text is not None]
            return f"note: {'; '.join(said)}" if said else None
    return None


if __name__ == "__main__":
    run(main, after_failure)
