"""Read columns of labels or groups, with one list of class names for all files of a data set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from pipeline.common.errors import UserError
from pipeline.prepare.sources.image_files import plain_name


@dataclass(frozen=True)
class Column:
    """The labels or groups of one file.

    Attributes
    ----------
    where
        The file and the column, for messages.
    values
        Whole numbers or words, one an image.
    names
        Names of the numbers from 0 on, where the file has them.
    """

    where: str
    values: list[int] | list[str]
    names: tuple[str, ...] = ()

    @property
    def is_words(self) -> bool:
        """Whether the values are words."""
        return len(self.values) > 0 and isinstance(self.values[0], str)

    @property
    def numbers(self) -> list[int]:
        """The values, where they are numbers."""
        return cast(list[int], self.values)


def read_array(where: str, values: np.ndarray, count: int) -> Column:
    """Read an array of whole numbers or words, ``(count,)`` or ``(count, 1)``.

    Raises
    ------
    UserError
        For another shape or type, and for a missing label.
    """
    if values.ndim == 2 and values.shape[0] == count and values.shape[1] > 1:
        raise UserError(f"{where}: {_several(values)}")
    if values.shape not in ((count,), (count, 1)):
        raise UserError(
            f"{where} has the shape {values.shape} for {count:,} images: give one for each image, "
            "in the same order"
        )
    values = values.reshape(-1)
    if values.dtype.kind == "f":
        return Column(where, _whole(where, values))
    if values.dtype.kind in "iub":
        return Column(where, [int(value) for value in values.tolist()])
    if values.dtype.kind in "US":
        return Column(where, _words(where, values.tolist()))
    raise UserError(f"{where} holds {values.dtype}: give whole numbers or words")


def _several(values: np.ndarray) -> str:
    if values.dtype.kind in "iufb" and ((values != 0).sum(1) == 1).all() and values.max() == 1:
        return "is one-hot: save its argmax(1), the number of each image's class"
    return (
        f"has {values.shape[1]} values an image: several labels an image, or several numbers to "
        "predict, are out of scope: give one class an image"
    )


def read_arrow(file: str, name: str, column: pa.ChunkedArray, names: Sequence[str] = ()) -> Column:
    """Read a column of an Arrow table; categories are words or numbers by their values.

    Parameters
    ----------
    file, name
        Of the column, for messages.
    column
        Its values.
    names
        Names of the numbers from 0 on.

    Raises
    ------
    UserError
        For another type, and for a missing label.
    """
    where = f"{file}: the column {name!r}"
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_null(kind) or column.null_count:
        row = column.is_null().to_pylist().index(True) if len(column) else 0
        raise UserError(f"{file}: row {row} has no {name}: remove such rows")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return Column(where, list(map(int, column.to_pylist())), tuple(names))
    if pa.types.is_floating(kind):
        return Column(where, _whole(where, np.array(column.to_pylist())), tuple(names))
    if _is_text(kind):
        return Column(where, _words(where, column.to_pylist()), tuple(names))
    if pa.types.is_nested(kind) and not pa.types.is_struct(kind):
        raise UserError(
            f"{where} holds {kind}: several labels an image are out of scope; where they are "
            'one-hot, save their places: table["label"] = table["label"].map(numpy.argmax)'
        )
    raise UserError(f"{where} holds {kind}: give whole numbers or words")


def _is_text(kind: pa.DataType) -> bool:
    of_kind = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
        pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    )  # fmt: skip
    return any(check(kind) for check in of_kind)


def _whole(where: str, values: np.ndarray) -> list[int]:
    """Whole numbers that are stored as floats, with NaN for missing ones."""
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise UserError(f"{where}: row {missing[0]} has none (it is NaN): remove such rows")
    wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) > 2**53))
    if len(wrong):
        raise UserError(
            f"{where}: row {wrong[0]} holds {values[wrong[0]]:g}: numbers to predict are out of "
            "scope: give classes as whole numbers or words"
        )
    return values.astype(np.int64).tolist()


def _words(where: str, values: Sequence[str | bytes]) -> list[str]:
    found = []
    for row, value in enumerate(values):
        try:
            text = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            raise UserError(f"{where}: row {row} holds bytes that are no UTF-8 text") from None
        if not text.strip():
            raise UserError(f"{where}: row {row} has an empty one: remove such rows, or name it")
        found.append(plain_name(unicodedata.normalize("NFC", text)))
    return found


def as_names(
    columns: Sequence[Column], *, digits: int | None = None, hidden: str = ""
) -> list[list[str]]:
    """Return the name of every value; equal values have equal names in all columns.

    Numbers get leading zeros. Numbers that a file names become ``0003 cat``, by the common list
    of all files; a file without names uses those of the others.

    Parameters
    ----------
    columns
        Of all files and splits.
    digits
        Digits of a number; by default as many as the largest has.
    hidden
        How to leave out rows with a number below 0, which labels must not have; empty for
        groups, which may.

    Raises
    ------
    UserError
        For hidden labels, and for files that cannot have one list of names.
    """
    numbers = [column for column in columns if not column.is_words]
    for column in numbers if hidden else []:
        _refuse_hidden(column, hidden)
    names = _common_names(columns)
    words = [column for column in columns if column.is_words]
    if words and any(column.values for column in numbers) and not names:
        raise UserError(
            f"{numbers[0].where} holds numbers, but {words[0].where} words: give the same kind in "
            "all of them"
        )
    if digits is None:
        digits = max((len(str(max(c.numbers))) for c in numbers if c.values), default=1)
    place = {name: f"{index:0{digits}} {name}" for index, name in enumerate(names)}
    return [_named(column, names, place, digits) for column in columns]


def _named(column: Column, names: Sequence[str], place: dict[str, str], digits: int) -> list[str]:
    if column.is_words:
        return [place.get(str(value), str(value)) for value in column.values]
    known = column.names or names
    if not known:
        return [f"{value:0{digits}}" for value in column.numbers]
    outside = next((value for value in column.numbers if not 0 <= value < len(known)), None)
    if outside is not None:
        raise UserError(
            f"{column.where} holds {outside}, but its metadata names {len(known)} classes: number "
            f"them from 0 to {len(known) - 1}, or remove the names"
        )
    return [place[known[value]] for value in column.numbers]


def _common_names(columns: Sequence[Column]) -> list[str]:
    """All names of all columns, in the order of the first column that has them."""
    lists = list(dict.fromkeys(column.names for column in columns if column.names))
    common = list(dict.fromkeys(name for names in lists for name in names))
    for names in lists:
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            where = next(column.where for column in columns if column.names == names)
            raise UserError(f"{where}: its metadata names two classes {twice!r}: rename one")
    unnamed = [c for c in columns if not c.is_words and not c.names and c.values]
    longest = max(lists, key=len, default=())
    if unnamed and any(names != longest[: len(names)] for names in lists):
        raise UserError(
            f"{unnamed[0].where} names no classes, and other files name them in different orders: "
            "add its names to its metadata, or give words instead of numbers"
        )
    return common


def _refuse_hidden(column: Column, hidden: str) -> None:
    below = [row for row, value in enumerate(column.numbers) if value < 0]
    if below:
        count = f"{len(below):,} of {len(column.values):,} rows are"
        raise UserError(
            f"{column.where} holds {column.values[below[0]]} in row {below[0]}, which hides the "
            f"label ({count} so): {hidden}"
        )
