"""Write trials, curves and runs of the study into a store that another tool opens by itself."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import replacing_folder
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.tracking.entry import TABLES, entries
from pipeline.tracking.registry import TOOLS, store_class

__all__ = ["export", "main"]

ARGUMENTS = {
    "--to": {
        "required": True,
        "choices": ["optuna", "mlflow", "trackio", "tensorboard", "csv"],
        "help": "the tool that is to open it",
    },
    "--output": {
        "metavar": "FOLDER",
        "help": "exports/TOOL unless said; an earlier export there is replaced",
    },
}
DATA = Path("data")
MARK = "exported-by-pipeline.txt"  # no other folder is ever replaced


def main(given: Namespace) -> None:
    """Write the store and say how to open it."""
    export(load_params(), given.to, Path(given.output or f"exports/{given.to}"))


def export(params: Params, tool: str, folder: Path) -> None:
    """Write all entries of the study into a folder, which appears when it is complete.

    Raises
    ------
    UserError
        The study has not run, the tool is not installed, or the folder is no earlier export.
    """
    if folder.exists() and not (folder / MARK).is_file():
        raise UserError(f"{folder}: is there and no earlier export: name another --output")
    make = store_class(tool)
    found = list(entries(params, DATA, TOOLS[tool].stages))
    with replacing_folder(folder) as aside:
        (aside / MARK).write_text("Written by `python -m pipeline export`, replaced by the next.\n")
        store = make(params, aside, folder)
        for entry in found:
            store.add(entry)
        store.close()
    counts = Counter(TABLES[entry.stage][0] for entry in found)
    written = " and ".join(f"{count:,} {kind}" for kind, count in counts.items())
    print(f"{folder}: {written} of {params.study}")
    if TOOLS[tool].look:
        print(f"to look: {TOOLS[tool].look.format(folder=folder)}")
