"""Optuna's journal in a file with a checksum for each record, so that damage is always noticed.

When the file is opened, everything from the first damaged record on is set aside, and the search
continues from the records before it. Records of other programs are left where they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from pipeline.common.errors import UserError
from pipeline.common.files import decode_record, encode_record
from pipeline.common.locks import lock
from pipeline.common.signals import signals_held

# Keys of what other programs may append, by Optuna's number of the operation: the removal of a
# study, and attributes of studies and trials.
_FOREIGN = {
    1: {"op_code", "study_id"},
    2: {"op_code", "study_id", "user_attr"},
    3: {"op_code", "study_id", "system_attr"},
    8: {"op_code", "trial_id", "user_attr"},
    9: {"op_code", "trial_id", "system_attr"},
}


def open_journal(path: Path) -> JournalStorage:
    """Open a journal as an Optuna storage; damage is set aside first."""
    repair(path)
    return JournalStorage(CheckedJournal(path))


class CheckedJournal(BaseJournalBackend):
    """One JSON record a line, each with its CRC-32; readable by Optuna's own journal backend.

    Optuna's locks are files, which a killed process leaves behind; here the lock is the
    kernel's (`flock`) and ends with its holder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self.read_records, self.read_bytes = 0, 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from a number on; a last line still being written is left."""
        if log_number_from < self.read_records:
            self.read_records, self.read_bytes = 0, 0
        with self.path.open("rb") as file:
            file.seek(self.read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                record = decode_record(line)
                if record is None and is_foreign(line):
                    self.read_bytes += len(line)
                    continue
                if record is None:
                    raise UserError(
                        f"{self.path}: record {self.read_records + 1} is damaged; "
                        "run the same command again to set the damage aside"
                    )
                number, self.read_records = self.read_records, self.read_records + 1
                self.read_bytes += len(line)
                if number >= log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all of them or none; a result is flushed to the disk."""
        content = b"".join(encode_record(log) for log in logs)
        with signals_held(), locked(self.path) as file:
            end = os.fstat(file).st_size
            try:
                written = os.write(file, content)
                if written != len(content):
                    raise OSError(28, f"only {written} bytes could be written")
                # A result is worth the wait; that a trial has started, or how Optuna calls its
                # end, is written again should the machine lose it.
                if any("user_attr" in log for log in logs):
                    os.fsync(file)
            except OSError as error:
                os.ftruncate(file, end)
                raise UserError(
                    f"{self.path}: could not append {len(content)} bytes ({error.strerror}); "
                    "fix this and run the same command again: what is finished is kept"
                ) from error


class ReadOnlyJournal(BaseJournalBackend):
    """The undamaged records of a journal as they are now, for commands that only read."""

    def __init__(self, path: Path) -> None:
        self.records = []
        for line in path.read_bytes().splitlines(keepends=True):
            if (record := decode_record(line)) is not None:
                self.records.append(record)
            elif not is_foreign(line):
                break

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records from a number on."""
        return self.records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse: another process may be writing the journal."""
        raise PermissionError("this view of the journal is for reading")


def is_foreign(line: bytes) -> bool:
    """Whether a line is a whole record of another program, such as a note in a dashboard.

    It says nothing of trials and is passed over. A damaged record of our own has other keys, its
    checksum among them, and is none.
    """
    try:
        record = json.loads(line)
    except ValueError:
        return False
    if not line.endswith(b"\n") or not isinstance(record, dict):
        return False
    return set(record) - {"worker_id"} in (
        keys for number, keys in _FOREIGN.items() if number == record.get("op_code")
    )


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Open a file for appending, under the kernel's lock."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        lock(file, path)
        yield file
    finally:
        os.close(file)


def repair(path: Path) -> None:
    """Cut a journal before its first damaged record, keeping the rest in a file next to it."""
    if not path.exists():
        return
    with locked(path) as file:
        content, good = path.read_bytes(), 0
        for line in content.splitlines(keepends=True):
            if decode_record(line) is None and not is_foreign(line):
                break
            good += len(line)
        if good == len(content):
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        aside.write_bytes(content[good:])
        os.ftruncate(file, good)
        os.fsync(file)
    print(f"{path}: {len(content) - good} damaged bytes set aside as {aside.name}", flush=True)
