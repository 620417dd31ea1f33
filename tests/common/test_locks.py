"""A lock that another holds, and a file system that has none, are two different answers."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from pipeline.common import locks
from pipeline.common.errors import UserError
from pipeline.execution import state_folder
from pipeline.execution.state_folder import holder, stage_lock
from pipeline.prepare import stage as prepare
from pipeline.sweep.journal import open_journal

HELD = [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES]
MISSING = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.execution.state_folder.PAUSE", 0)
    return tmp_path


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A file system that answers every request for a lock with one error."""

    def flock(file: object, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locks.fcntl, "flock", flock)


def start_stage(folder: Path) -> None:
    with stage_lock("sweep"):
        pass


def look(folder: Path) -> None:
    (folder / ".state/sweep").mkdir(parents=True)
    (folder / ".state/sweep/lock").touch()
    holder("sweep")


def write_journal(folder: Path) -> None:
    (folder / "journal.log").touch()
    open_journal(folder / "journal.log")


def start_prepare(folder: Path) -> None:
    with prepare.work_folder(folder / "data"):
        pass


USERS = [start_stage, look, write_journal, start_prepare]


@pytest.mark.parametrize("refusing", MISSING, indirect=True, ids=errno.errorcode.get)
@pytest.mark.parametrize("user", USERS)
def test_no_locks_are_named_as_what_they_are(user: object, refusing: None, folder: Path) -> None:
    with pytest.raises(UserError, match=r"gives no locks .*set GSA_STATE") as refusal:
        user(folder)
    assert "already running" not in str(refusal.value)


@pytest.mark.parametrize("refusing", HELD, indirect=True, ids=errno.errorcode.get)
def test_a_held_lock_is_a_holder(refusing: None, folder: Path) -> None:
    with pytest.raises(UserError, match="already running here"):
        start_stage(folder)
    with pytest.raises(UserError, match="another process is preparing it"):
        start_prepare(folder)
    (folder / ".state/sweep/lock").write_text("pid 1 on host\n")
    assert holder("sweep") == "pid 1 on host"


def test_a_glance_at_the_lock_refuses_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage_lock("sweep"):
        pass
    glance = Path(".state/sweep/lock").open()  # noqa: SIM115
    fcntl.flock(glance, fcntl.LOCK_SH)
    monkeypatch.setattr(state_folder.time, "sleep", lambda seconds: glance.close())
    with stage_lock("sweep"):
        assert glance.closed
