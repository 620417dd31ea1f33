"""Lock a file: that another holds the lock is an answer, a file system without locks an error."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError

__all__ = ["lock", "try_lock"]

HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def try_lock(file: Any, path: Path, *, shared: bool = False) -> bool:
    """Take the lock of an open file or folder without waiting; False where another has it.

    The lock belongs to the open file and ends with it, so a crash leaves nothing to clean up.

    Parameters
    ----------
    file
        What has a file descriptor, or is one.
    path
        Its path, for the message.
    shared
        Whether others may share it.

    Raises
    ------
    UserError
        The file system of the path has no locks.
    """
    return _flock(file, path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def lock(file: Any, path: Path) -> None:
    """Wait for the lock of an open file, as `try_lock`."""
    _flock(file, path, fcntl.LOCK_EX)


def _flock(file: Any, path: Path, operation: int) -> bool:
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise UserError(
            f"{path}: the file system there gives no locks ({error.strerror}), without which two "
            "runs could damage each other's work; set GSA_STATE to a folder on a local disk for "
            ".state, or mount the file system with locks (Lustre: -o flock, NFS: version 4)"
        ) from None
    return True
