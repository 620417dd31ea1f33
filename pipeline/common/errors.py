"""Errors that a user can fix, and the wrapper that turns them into a line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["CLOSED", "REFUSALS", "UserError", "first_line", "main"]

# How a command ends whose reader has gone: as if by SIGPIPE, which Python ignores.
CLOSED = 128 + signal.SIGPIPE
SIGNALLED = 128  # an exit code above it: ended by a signal
# What a file system refuses that is no defect of the project.
REFUSALS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system takes no file of this size",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of this path is a file instead of a folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "a file has the name of a folder",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long for the file system",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the file server has forgotten it",
}


class UserError(Exception):
    """What the user has to change, each problem one sentence: what, where, how to fix it.

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


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:most]


def main(
    function: Callable[[], None], after_failure: Callable[[bool], str | None] = lambda _: None
) -> None:
    """Run an entry point: exit 2 without a traceback on a `UserError`, 130 when interrupted.

    What `after_failure` returns, if anything, is printed after the reason of a failure; it is
    given whether a signal ended the function.

    When nobody reads the output any more it ends silently, with the exit code of a process
    that SIGPIPE has ended. Any other exception is a defect of the project: its traceback stays,
    and the exit code is 1.
    """
    _prepare_streams()
    try:
        code = _code_of(function)
        if code not in (0, CLOSED) and (note := after_failure(code > SIGNALLED)) is not None:
            print(note, file=sys.stderr)
        sys.stdout.flush()  # not at the end of the interpreter, which would print a traceback
        sys.stderr.flush()
    except BrokenPipeError:
        if not _close_unread():
            raise
        code = CLOSED
    if code:
        sys.exit(code)


def _code_of(function: Callable[[], None]) -> int:
    """Run a function and say in sentences how it failed; return the exit code."""
    try:
        function()
    except UserError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command resumes from here", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in REFUSALS or error.filename is None:
            raise
        why = REFUSALS[error.errno]
        print(f"error: {error.filename}: cannot be used, because {why}", file=sys.stderr)
        return 2
    except (ImportError, SyntaxError) as error:
        if (sentence := _foreign(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    return 0


def _foreign(error: ImportError | SyntaxError) -> str | None:
    """Say that a package is missing, or is broken and not of this Python's environment."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in ("pipeline", "gsa_core") or package in sys.stdlib_module_names:
            return None
        return (
            f"the Python at {sys.executable} lacks the package {package}; use the environment that "
            "`make venv` makes: .venv/bin/python -m pipeline ..."
        )
    places = [getattr(error, "filename", None), getattr(error, "path", None)]
    places += [frame.filename for frame in traceback.extract_tb(error.__traceback__)[-1:]]
    known = (sys.prefix, sys.base_prefix, Path(__file__).resolve().parents[2])
    foreign = [
        place for place in places
        if place and Path(place).is_absolute()
        and not any(Path(place).is_relative_to(one) for one in known)
    ]  # fmt: skip
    if not foreign:
        return None
    return (
        f"{foreign[0]}: a package from outside this Python's environment does not work here "
        f"({error}); unset PYTHONPATH, or set PYTHONNOUSERSITE=1 if the package is the user's own"
    )


def _prepare_streams() -> None:
    """Let print work whatever the terminal is: closed, or without letters beyond ASCII."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_unread() -> bool:
    """Send to nowhere what is left for pipes without a reader; whether there is one."""
    unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
    for stream in unread:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(unread)


def _is_unread(stream: TextIO) -> bool:
    with suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False
