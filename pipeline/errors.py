"""Errors a user can mend, and the wrapper that turns them into a line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["UserError", "main"]


class UserError(Exception):
    """What the user has to change, each problem one sentence: what, where, how to mend it.

    Parameters
    ----------
    *problems
        One sentence each; most errors have one, a parameter file may have several.

    Examples
    --------
    >>> UserError("params.yaml: the file is empty").problems
    ('params.yaml: the file is empty',)
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def main(function: Callable[[], None]) -> None:
    """Run an entry point: exit 2 without a traceback on a `UserError`, 130 when interrupted.

    Any other exception is a defect of the project: its traceback stays, and the exit code is 1.
    """
    try:
        function()
    except UserError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
