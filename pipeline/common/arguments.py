"""Arguments of commands and stages: help on request, a sentence for what is not known."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn

from pipeline.common import errors

__all__ = ["Parser", "run_as"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like those of every other command."""

    def __init__(self, prog: str, what: str | None) -> None:
        first = (what or "").strip().partition("\n")[0]
        super().__init__(prog=prog, description=first, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise errors.UserError(f"{message}; `{self.prog} --help` says what it takes")


def run_as(*command: str) -> NoReturn:
    """Do `python -m pipeline COMMAND` in a process that was asked to run the command's module."""
    sys.argv[1:1] = command
    errors.main(importlib.import_module("pipeline.__main__").main)
    sys.exit()
