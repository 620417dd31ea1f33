"""Finished runs in `results/<study>/runs`, one file each; committed, they serve any machine.

A file is compressed: a line with the record and its checksum, then the predictions and, of the
first seed of a cell, the weights.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.common.files import decode_record, encode_record, write_bytes
from pipeline.confirm.result_store import BINARY
from pipeline.execution.tasks import Task

__all__ = ["FinishedRuns", "finished_folder"]

Payload = Mapping[str, Any]
# What a task is shown as; the rest of its payload decides the result.
SHOWN = ("label", "log_command", "checkpoint")


def finished_folder(study: str) -> Path:
    """Where the finished runs of a study are kept."""
    return Path("results") / study / "runs"


class FinishedRuns:
    """Keeps what finished runs found, and gives it to the same runs on another machine.

    A run is the same with the same configuration, seed, data and measures; the code is not
    compared, and the commit is recorded.

    Parameters
    ----------
    folder
        Where the files are.
    provenance
        Written into the files that are kept.
    say
        Called with files that are not used, and why.
    """

    def __init__(
        self, folder: Path, provenance: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self.folder, self.provenance, self.say = folder, dict(provenance), say

    def keep(self, task: Task, value: Mapping[str, Any]) -> None:
        """Write the file of a run that completed; `value` is as `RunStore.get` returns it."""
        if task.payload["kind"] != "run" or value["row"]["status"] != "completed":
            return
        wanted = [name for name in BINARY if name in value]
        if not task.payload["features"]:  # weights are large: one seed a cell is enough
            wanted = [name for name in wanted if name != "weights"]
        contents = {name: Path(value[name]).read_bytes() for name in wanted}
        record = {
            "asked": _asked(task),
            "provenance": self.provenance,
            "value": {name: item for name, item in value.items() if name not in BINARY},
            "sizes": {name: len(content) for name, content in contents.items()},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        body = encode_record(record) + b"".join(contents.values())
        write_bytes(self._path(task), lzma.compress(body))

    def take(self, task: Task) -> dict[str, Any] | None:
        """Return what the file of a run has, with its bytes; None if there is none of this run."""
        path = self._path(task)
        if not path.exists():
            return None
        found = _read(path)
        if found is None:
            self.say(f"{path}: damaged, so this run is made again")
            return None
        record, body = found
        if differences := list(_differences(_asked(task), record["asked"])):
            others = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
            self.say(
                f"{path}: is of another run ({', '.join(differences[:3])}{others}), so it is not "
                "used and this run is made here"
            )
            return None
        value, start = dict(record["value"]), 0
        for name, size in record["sizes"].items():
            value[name], start = body[start : start + size], start + size
        return value

    def _path(self, task: Task) -> Path:
        return self.folder / f"{task.key.rpartition('-')[0]}.run.xz"


def _asked(task: Task) -> dict[str, Any]:
    return {name: item for name, item in task.payload.items() if name not in SHOWN}


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """The record of a file and the bytes after it; None if it is damaged."""
    try:
        line, end, body = lzma.decompress(path.read_bytes()).partition(b"\n")
    except (lzma.LZMAError, EOFError):
        return None
    record = decode_record(line + end)
    whole = record is not None and sum(record["sizes"].values()) == len(body)
    return (record, body) if record is not None and whole else None


def _differences(here: Payload, there: Payload) -> Iterator[str]:
    """Name what differs between two runs, a configuration by its keys."""
    for name in sorted(here.keys() | there.keys()):
        one, other = here.get(name), there.get(name)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other)
        elif name == "data":
            yield "other data"
        else:
            yield f"{name} {other!r}, here {one!r}"
