"""Arguments of commands and stages: help on request, a sentence for what is not known."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from pipeline import errors

__all__ = ["Parser", "run_alone"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like those of every other command."""

    def __init__(self, prog: str, what: str | None) -> None:
        first = (what or "").strip().partition("\n")[0]
        super().__init__(prog=prog, description=first, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise errors.UserError(f"{message}; `{self.prog} --help` says what it takes")


def run_alone(function: Callable[[], None], module: str, what: str | None) -> None:
    """Run `python -m MODULE`, which takes no arguments but a wish for help."""

    def run() -> None:
        Parser(f"python -m {module}", what).parse_args()
        function()

    errors.main(run)
