"""How a stage ends early: on a signal, or when the command that started it is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

# A stage that got a signal and has not ended after this many seconds is ended at once.
DEADLINE = 20.0
POLL = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
GONE = (
    "the command or shell that started this is gone: ending; what is to outlive its shell is "
    "started with `nohup`"
)


class Interrupted(BaseException):
    """A signal ends the stage; not an Exception, so that no handler mistakes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass
class _State:
    """What the handler of this process knows: how deep in what must not be disturbed, what came."""

    depth: int = 0
    ending: int | None = None
    raised: bool = False
    active: bool = False


_state = _State()


def _handle(number: int, frame: FrameType | None) -> None:
    """Raise `Interrupted` once, and not where the process is not to be disturbed."""
    _note(number)
    if not _state.depth:
        raise_pending()


def _note(number: int) -> None:
    """Remember that the stage is to end, and give it until the deadline."""
    if _state.ending is None:
        _state.ending = number
        threading.Thread(target=_force, args=(number,), daemon=True).start()


def raise_pending() -> None:
    """Raise `Interrupted` if a signal has come that has not been raised yet."""
    if _state.ending is not None and not _state.raised:
        _state.raised = True
        raise Interrupted(_state.ending)


def _force(number: int) -> None:
    """End the process the hard way when the clean way takes too long."""
    time.sleep(DEADLINE)
    os._exit(128 + number)


def end_unread() -> None:
    """End the stage as by a signal: nobody reads what it says; for a handler of that error."""
    if not _state.active:
        raise
    _handle(signal.SIGPIPE, None)


def rearm() -> None:
    """Install the handlers, also where a library has replaced them."""
    for number in SIGNALS:
        signal.signal(number, _handle)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back: for a commit that is not to be cut in two, or code that cannot be.

    What came in the meantime is raised at the end of the block, or by `raise_pending` within.
    """
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
    if not _state.depth:
        raise_pending()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and the end of the calling command into `Interrupted`."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _state.ending, _state.raised, _state.active = None, False, True
    rearm()
    stop = threading.Event()
    threading.Thread(target=_watch, args=(first_callers(), stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        _state.active = False
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(alive: list[Callable[[], bool]], stop: threading.Event) -> None:
    """End the stage as by SIGTERM as soon as one of its callers is gone."""
    while not stop.wait(POLL):
        if not all(caller() for caller in alive):
            with suppress(OSError):  # its terminal may be gone too
                print(GONE, file=sys.stderr, flush=True)
            # Where signals are held back a note is enough, and libraries' handlers stay silent.
            if _state.depth:
                _note(signal.SIGTERM)
            else:
                os.kill(os.getpid(), signal.SIGTERM)
            return


def callers() -> list[Callable[[], bool]]:
    """List the processes this one works for, each as a question whether it still runs.

    The direct parent, and (where there is a /proc) its ancestors within the same process group
    that treat SIGHUP alike: make, dvc and the shells between them, but neither the terminal's
    shell nor, under nohup, whatever the user means to outlive.
    """
    parent = os.getppid()
    checks: list[Callable[[], bool]] = [lambda: os.getppid() == parent]
    here = _stat(os.getpid())
    while here is not None and (above := _stat(here.parent)) is not None:
        if above.group != here.group or above.hangup != here.hangup:
            break
        pid, start = here.parent, above.start
        checks.append(lambda pid=pid, start=start: _start_of(pid) == start)  # type: ignore[misc]
        here = above
    return checks


def first_callers() -> list[Callable[[], bool]]:
    """Return the callers that were there when this module was imported, which is at once."""
    born, checks = _AT_IMPORT
    return checks if born == os.getpid() else callers()  # a fork has another parent


@dataclass(frozen=True)
class _Process:
    """A line of /proc: parent, process group, start time, whether SIGHUP is ignored."""

    parent: int
    group: int
    start: str
    hangup: bool


def _stat(pid: int) -> _Process | None:
    """Read what /proc says of a process; None where it says nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    ignored = next((line for line in status.splitlines() if line.startswith("SigIgn:")), "0")
    hangup = bool(int(ignored.split()[-1], 16) & 1 << signal.SIGHUP - 1)
    return _Process(int(fields[1]), int(fields[2]), fields[19], hangup)


def _start_of(pid: int) -> str | None:
    """Return when a process began, None when it is gone."""
    process = _stat(pid)
    return None if process is None else process.start


_AT_IMPORT = (os.getpid(), callers())
