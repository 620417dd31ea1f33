"""Finished runs of confirm under `.state`: each one file, written whole, found by its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common.checksummed import decode, encode
from pipeline.common.files import file_sha256, json_text, write_bytes
from pipeline.common.signals import signals_held


class RunStore:
    """Results by key in one folder; a result is there whole or not at all.

    Weights are bytes when they are put; they lie beside the record, which is written after them
    and holds their checksum: the record is what counts. What is found has their path instead, so
    that the weights of all runs are never in memory together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a result; return it as `get` does."""
        record = {name: item for name, item in value.items() if name != "weights"}
        weights = value.get("weights")
        with signals_held():
            if weights is not None:
                write_bytes(self._path(key, "safetensors"), weights)
                record["weights_sha256"] = hashlib.sha256(weights).hexdigest()
            write_bytes(self._path(key, "json"), encode(record))
        record.pop("weights_sha256", None)
        found = {} if weights is None else {"weights": self._path(key, "safetensors")}
        return {**record, **found}

    def get(self, key: str) -> dict[str, Any] | None:
        """Find a result; None when there is none, or it was damaged and is now set aside."""
        path = self._path(key, "json")
        if not path.exists():
            return None
        record = decode(path.read_bytes())
        if record is None:
            set_aside(path)
            return None
        digest = record.pop("weights_sha256", None)
        if digest is not None:
            weights = self._path(key, "safetensors")
            if not weights.exists() or file_sha256(weights) != digest:
                set_aside(path)
                return None
            record["weights"] = weights
        return record

    def _path(self, key: str, ending: str) -> Path:
        return self.folder / f"{key}.{ending}"


def peek(folder: Path, key: str) -> dict[str, Any] | None:
    """Read a result without its weights and without setting anything aside; None without one."""
    try:
        return decode((folder / f"{key}.json").read_bytes())
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> None:
    """Move a damaged record out of the way; its run is done again."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    print(f"{path}: damaged, set aside as {aside.name}; its run is done again", flush=True)


def fingerprint(value: Any) -> str:
    """Hash a JSON value into a few characters for a file's name.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json_text(value).encode()).hexdigest()[:12]
