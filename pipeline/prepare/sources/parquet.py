"""Read a user's Parquet files of encoded images and labels, as on the Hugging Face hub."""

from __future__ import annotations

import threading
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.documents import parse_json
from pipeline.common.errors import UserError, first_line
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.labels.classes import LabelledSource, number_classes
from pipeline.prepare.labels.columns import Column, as_names, read_arrow
from pipeline.prepare.sources.image_files import EncodedImages, plain_name
from pipeline.prepare.splits.names import is_enough, split_of

MOST_ROWS = 50_000_000
_MOST_RATIO, _ALLOWANCE = 50, 1 << 28  # largest unpacked size: ratio x size + allowance in bytes

_HIDDEN = (
    "move a file whose rows are all so out of the folder, write others without these rows: "
    "table[table.label >= 0].to_parquet(...)"
)


def read(
    path: Path,
    target: Target,
    *,
    splits: str | None,
    min_count: int,
    image_column: str,
    label_column: str,
    group_column: str | None,
    skip: bool,
) -> LabelledSource:
    """Open Parquet files; images are decoded when they are read.

    Parameters
    ----------
    path
        A file, or a folder of files called ``<split>-*.parquet``, or in folders of their splits.
    target
        What every image becomes.
    splits
        ``given`` where the files' names say their splits; else all files are one set.
    min_count
        Classes with fewer images are left out.
    image_column
        Encoded bytes, or a struct with a field ``bytes``.
    label_column, group_column
        Whole numbers or words; numbers are named as the hub's own metadata does.
    skip
        Whether bad images are left out and listed.

    Raises
    ------
    UserError
        Naming the file and what is wrong with it.
    """
    notes: list[str] = []
    opened = {
        split: [_ImageTable(file, image_column) for file in files]
        for split, files in _files_by_split(path, splits, notes).items()
    }
    labels = _names(opened, label_column, "label_column", _HIDDEN.replace("label", label_column))
    groups = _names(opened, group_column, "group_column", "") if group_column else None
    images = {split: _images(files, target, skip) for split, files in opened.items()}
    return number_classes(path.name, images, labels, groups, min_count=min_count, notes=notes)


def _names(
    opened: dict[str, list[_ImageTable]], column: str, key: str, hidden: str
) -> dict[str, list[str]]:
    """Names of a column's values, split after split; all files share one list of names."""
    first = sorted(opened, key=lambda split: split != "train")  # whose order of names is kept
    columns = [file.values(column, key) for split in first for file in opened[split]]
    found = iter(as_names(columns, digits=4, hidden=hidden))
    return {split: [name for _ in opened[split] for name in next(found)] for split in first}


def _files_by_split(path: Path, splits: str | None, notes: list[str]) -> dict[str, list[Path]]:
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise UserError(f"{plain_name(path)}: holds no .parquet file: fix the path in its source")
    by_split: dict[str | None, list[Path]] = {}
    for file in files:
        by_split.setdefault(_split_of(file, path), []).append(file)
    if splits != "given":
        if splits is None and len(set(by_split) - {None}) > 1:
            found = ", ".join(sorted(filter(None, by_split)))
            notes.append(f"files of {found} are one set: splits: given would keep them apart")
        return {"all": files}
    if None in by_split:
        raise UserError(
            f"{plain_name(by_split[None][0])}: splits: given needs names that start with train, "
            "validation or test: rename the file, or set splits: made"
        )
    named = {str(split): found for split, found in by_split.items()}
    if not is_enough(set(named)):
        raise UserError(
            f"{plain_name(path)}: splits: given needs files for train, and for test or validation "
            f"or both, but found {', '.join(sorted(named))}: rename them, or set splits: made"
        )
    return named


def _split_of(file: Path, base: Path) -> str | None:
    """The split that a file's name starts with, or else that of the nearest folder."""
    inner = file.relative_to(base).parts[:-1] if file != base else ()
    start = file.name.split("-")[0].split(".")[0]
    return next(filter(None, map(split_of, (start, *reversed(inner)))), None)


class _ImageTable:
    """One Parquet file, read a row group at a time."""

    def __init__(self, path: Path, image_column: str) -> None:
        self.path, self.column, self.lock = path, image_column, threading.Lock()
        try:
            # Extension types would be built by code the file names; none is needed here.
            self.file = pq.ParquetFile(path, arrow_extensions_enabled=False)
        except Exception as error:  # also what the types of other packages, Ray's among them, raise
            raise self.refuse(
                f"is no Parquet file ({first_line(error)}): fetch it again"
            ) from error
        self.schema = self.file.schema_arrow
        kind = self.kind(image_column, "image_column")
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            self.field, kind = f"{image_column}.bytes", kind.field("bytes").type
        else:
            self.field = image_column
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise self.refuse(
                f"the column {image_column!r} holds {kind}, not encoded images: name another in "
                "image_column"
            )
        self._check_size()
        rows = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.ends = np.cumsum([0, *rows])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def _check_size(self) -> None:
        """Refuse a decompression bomb: encoded images hardly compress further."""
        table, size = self.file.metadata, self.path.stat().st_size
        groups = [table.row_group(i) for i in range(table.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if table.num_rows > MOST_ROWS or unpacked > _ALLOWANCE + _MOST_RATIO * size:
            raise self.refuse(
                f"unpacks {size:,} bytes to {unpacked:,} and {table.num_rows:,} rows, which no set "
                "of images does: fetch it again"
            )

    def refuse(self, text: str) -> UserError:
        return UserError(f"{plain_name(self.path)}: {text}")

    def kind(self, column: str, key: str) -> pa.DataType:
        if column not in self.schema.names:
            held = plain_name(", ".join(self.schema.names))
            raise self.refuse(f"has no column {column!r}: set {key} to one of {held}")
        return self.schema.field(column).type

    def values(self, column: str, key: str) -> Column:
        """A column of labels or groups, which a key of the source names."""
        self.kind(column, key)
        try:
            found = self.file.read(columns=[column]).column(0)
        except (pa.ArrowException, OSError) as error:
            raise self.refuse(f"is damaged ({first_line(error)}): fetch it again") from error
        return read_arrow(plain_name(self.path), column, found, self._names(column))

    def _names(self, column: str) -> list[str]:
        """Names of classes that the hub's metadata gives, in the order of their numbers."""
        try:
            text = (self.schema.metadata or {})[b"huggingface"]
            info = parse_json(text, f"{plain_name(self.path)}: metadata", "leave it out")
            found = info["info"]["features"][column]["names"]
            if isinstance(found, dict):  # of older versions: by number
                found = [found[number] for number in sorted(found, key=int)]
            return [plain_name(unicodedata.normalize("NFC", str(name))) for name in found]
        except (KeyError, ValueError, TypeError, UserError):
            return []

    def encoded(self, start: int, stop: int) -> list[bytes | None]:
        """Encoded images of some rows; only the row groups that hold them are read."""
        found: list[bytes | None] = []
        first = int(np.searchsorted(self.ends, start, "right")) - 1
        for group in range(first, self.file.num_row_groups):
            begin, end = int(self.ends[group]), int(self.ends[group + 1])
            if begin >= stop:
                break
            wanted = range(max(start, begin) - begin, min(stop, end) - begin)
            found += self._rows(group, wanted)
        return found

    def _rows(self, group: int, wanted: range) -> list[bytes | None]:
        found: list[bytes | None] = []
        place = 0
        try:
            # A reader is not thread-safe; decoding, which takes longer, runs in parallel.
            with self.lock:
                for batch in self.file.iter_batches(
                    batch_size=256, row_groups=[group], columns=[self.field], use_threads=False
                ):
                    column = batch.column(0)
                    if pa.types.is_struct(column.type):
                        column = column.field("bytes")
                    low, high = max(wanted.start - place, 0), min(wanted.stop - place, len(column))
                    if low < high:
                        found += column.slice(low, high - low).to_pylist()
                    place += len(column)
                    if place >= wanted.stop:
                        break
        except (pa.ArrowException, OSError) as error:
            raise self.refuse(f"is damaged ({first_line(error)}): fetch it again") from error
        return found


def _images(files: list[_ImageTable], target: Target, skip: bool) -> EncodedImages:
    ends = np.cumsum([0, *map(len, files)])

    def load(start: int, stop: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        for file, begin in zip(files, ends[:-1].tolist(), strict=True):
            if begin < stop and begin + len(file) > start:
                found += file.encoded(max(start - begin, 0), min(stop - begin, len(file)))
        return found

    names = [f"{plain_name(file.path)}, row {row}" for file in files for row in range(len(file))]
    states = [file.path.stat() for file in files]
    identity = [[plain_name(file.path.name), len(file)] for file in files]
    stamp = [[state.st_size, state.st_mtime_ns] for state in states]
    return EncodedImages(
        names, load, target, skip=skip, identity=[identity, stamp, files[0].field if files else ""]
    )
