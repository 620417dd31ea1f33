"""Where unfinished tasks keep their state: a folder here or on a share, or a bucket (`s3://`).

A worker writes what its task needs to resume; the driver removes it once the result is committed.
A checkpoint is a help, never a condition: one that cannot be written or read costs a note and
the time to do the epochs again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.common.errors import UserError

__all__ = ["Checkpoint", "Checkpoints", "checkpoints_of", "storage_named"]

# Any folder or bucket for checkpoints; `resources.storage` names one of the project's alone.
STORAGE = "GSA_STORAGE"


@dataclass(frozen=True)
class Checkpoint:
    """The state of one task, whole or not at all, at a path or a URI that `pyarrow.fs` knows."""

    address: str

    def save(self, content: bytes) -> None:
        """Put a state in the place of the one before."""
        files, path = _open(self.address)
        # An object of a bucket appears whole or not at all, but a file is written aside first,
        # under a name of its own: a worker that lost its driver may be writing the same.
        aside = path if _in_bucket(files) else f"{path}.{os.getpid()}.tmp"
        if not _in_bucket(files):
            files.create_dir(os.path.dirname(path), recursive=True)
        try:
            with files.open_output_stream(aside) as stream:
                stream.write(content)
            if aside != path:
                files.move(aside, path)
        except OSError:
            if aside != path:
                with suppress(OSError):
                    files.delete_file(aside)
            raise

    def load(self) -> bytes | None:
        """Return the state; None where there is none."""
        files, path = _open(self.address)
        try:
            with files.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def set_aside(self) -> str:
        """Move a state that is no good out of the way, under a name that is not taken."""
        files, path = _open(self.address)
        number = 1
        while files.get_file_info(aside := f"{path}.damaged-{number}").type.value:
            number += 1
        files.move(path, aside)
        return aside

    def remove(self) -> None:
        """Remove the state, if there is one."""
        files, path = _open(self.address)
        with suppress(FileNotFoundError):
            files.delete_file(path)


@dataclass(frozen=True)
class Checkpoints:
    """The states of a stage's unfinished tasks."""

    folder: str
    options: str = ""  # of a URI, from the question mark on

    def of(self, key: str) -> Checkpoint:
        """Return the checkpoint of a task."""
        return Checkpoint(f"{self.folder}/{self._file(key)}{self.options}")

    def _file(self, key: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", key) + ".state"

    def kept(self, keys: Iterable[str]) -> int:
        """Count the tasks among these that have a checkpoint; 0 where nobody can say."""
        from pyarrow.fs import FileSelector

        try:
            files, path = _open(self.folder + self.options)
            found = files.get_file_info(FileSelector(path, allow_not_found=True))
        except (OSError, ValueError):
            return 0
        names = {one.base_name for one in found}
        return sum(self._file(key) in names for key in keys)

    def remove(self, key: str) -> None:
        """Remove the checkpoint of a finished task; one that stays does no harm."""
        with suppress(OSError):
            self.of(key).remove()


def storage_named(asked: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return where checkpoints go: what GSA_STORAGE says, else the folder of `resources.storage`.

    Raises
    ------
    UserError
        A link leads out of the project from the folder: a file never decides where else to write.
    """
    if named := environment.get(STORAGE, "").strip():
        return named
    if asked is not None and not Path(asked).resolve().is_relative_to(Path.cwd().resolve()):
        raise UserError(
            f"resources.storage: {asked!r} is a link to {Path(asked).resolve()}, outside the "
            f"project; set {STORAGE} to that folder if it is meant"
        )
    return asked


def checkpoints_of(storage: str | None, state: Path) -> Checkpoints:
    """Choose the folder: with the other state of the stage, or where `storage` says.

    Parameters
    ----------
    storage : str or None
        Of `storage_named`.
    state : Path
        Of `pipeline.execution.state_folder.state_folder`, named after code and data.
    """
    if storage is None:
        return Checkpoints(f"{state.resolve()}/checkpoints")
    base, mark, options = storage.partition("?") if "://" in storage else (storage, "", "")
    base = base.rstrip("/") if mark or "://" in base else str(Path(base).resolve())
    try:
        _open(base + mark + options)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{STORAGE}: got {storage!r}, which cannot be used ({error}); "
            "accepts a folder, or a URI such as s3://bucket/folder"
        ) from error
    return Checkpoints(f"{base}/{'/'.join(state.parts[-2:])}", mark + options)


def _open(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path within it."""
    if "://" not in address:
        return _connect(""), address
    uri = urlsplit(address)
    return _connect(f"{uri.scheme}://{uri.netloc}/?{uri.query}"), uri.netloc + uri.path


@lru_cache(maxsize=8)
def _connect(uri: str) -> Any:
    """Connect once a process: to find where a bucket is may take a request."""
    from pyarrow.fs import FileSystem, LocalFileSystem

    return FileSystem.from_uri(uri)[0] if uri else LocalFileSystem()


def _in_bucket(files: Any) -> bool:
    return bool(files.type_name != "local")
