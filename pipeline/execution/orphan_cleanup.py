"""End the processes of a local Ray when the driver ends without having ended them.

A killed driver takes Ray's daemons with it, but two of their helpers live on for a minute, and
a worker in a long step may too. A process of a few megabytes waits at a pipe for the driver's end.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Ray sets it in whatever a raylet starts. Here, since this file also runs alone, without pipeline.
RAYLET_VARIABLE = "RAY_RAYLET_PID"


@contextmanager
def orphan_cleanup(raylet: int) -> Iterator[None]:
    """End whatever the raylet has started, should this process die in the block.

    Parameters
    ----------
    raylet : int
        The raylet's process id: what it starts has it in its environment.
    """
    if not Path("/proc/self/environ").exists():
        yield
        return
    command = [sys.executable, "-I", "-S", __file__, str(raylet)]
    # In a session of its own, so that what is sent to the driver's group does not reach it.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        # A message on the pipe says that all is well; its end without one, that the driver died.
        with suppress(BrokenPipeError):
            watcher.communicate(b"done")


def started_by(raylet: int) -> list[int]:
    """List the processes that a raylet has started, directly or not."""
    mark = f"{RAYLET_VARIABLE}={raylet}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def main() -> None:
    """Wait for the driver's message, and clean up when there is none."""
    parser = argparse.ArgumentParser(description="end what a raylet started, once its driver died")
    parser.add_argument("raylet", type=int, help="its process id")
    raylet = parser.parse_args().raylet
    if sys.stdin.buffer.read():
        return
    for pid in started_by(raylet):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
