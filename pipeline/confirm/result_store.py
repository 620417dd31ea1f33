"""Store the results of finished runs under `.state`, one atomically written file each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common.checksummed import decode, encode
from pipeline.common.files import file_sha256, json_text, write_bytes
from pipeline.common.signals import signals_held


class RunStore:
    """Results by key in one folder; a result is complete or absent.

    Weights are stored as bytes in a file of their own, before the record, which holds their
    checksum. `get` returns their path, so that the weights of all runs are never in memory
    together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store a result; return it as `get` does."""
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
        """Return a result; None if there is none, or if it is damaged, which sets it aside."""
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


def read_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Read a result without its weights, changing nothing; None if there is none."""
    try:
        return decode((folder / f"{key}.json").read_bytes())
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> None:
    """Rename a damaged record; its run is repeated."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    print(f"{path}: damaged, set aside as {aside.name}; its run is repeated", flush=True)


def fingerprint(value: Any) -> str:
    """Hash a JSON value into 12 characters for a file's name.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json_text(value).encode()).hexdigest()[:12]
