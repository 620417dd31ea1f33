"""Store the results of finished runs under `.state`, one atomically written file each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common.files import decode_record, encode_record, file_sha256, json_text, write_bytes
from pipeline.common.signals import signals_held

# Contents of a result that are stored as bytes, and the endings of their files.
BINARY = {"weights": "safetensors", "predictions": "predictions.safetensors"}


class RunStore:
    """Results by key in one folder; a result is complete or absent.

    Weights and predictions are stored as bytes in files of their own, before the record, which
    holds their checksums. `get` returns their paths, so that those of all runs are never in memory
    together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store a result; return it as `get` does."""
        record = {name: item for name, item in value.items() if name not in BINARY}
        contents = {name: value[name] for name in BINARY if value.get(name) is not None}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        with signals_held():
            for name, content in contents.items():
                write_bytes(self._path(key, BINARY[name]), content)
            write_bytes(self._path(key, "json"), encode_record({**record, "sha256": digests}))
        return {**record, **{name: self._path(key, BINARY[name]) for name in contents}}

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a result; None if there is none, or if it is damaged, which sets it aside."""
        path = self._path(key, "json")
        if not path.exists():
            return None
        record = decode_record(path.read_bytes())
        if record is None:
            set_aside(path)
            return None
        for name, digest in record.pop("sha256").items():
            content = self._path(key, BINARY[name])
            if not content.exists() or file_sha256(content) != digest:
                set_aside(path)
                return None
            record[name] = content
        return record

    def _path(self, key: str, ending: str) -> Path:
        return self.folder / f"{key}.{ending}"


def read_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Read a result without its bytes, changing nothing; None if there is none."""
    try:
        return decode_record((folder / f"{key}.json").read_bytes())
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
