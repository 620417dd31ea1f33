"""Tables of earlier schema versions: which are read, and what stands for columns they lack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

__all__ = ["READ_TOO", "Same", "added_after", "completed"]

READ_TOO = (3, 4, 5, 6)


@dataclass(frozen=True)
class Same:
    """What another column says, or an entry of the JSON in it."""

    column: str
    entry: str | None = None


_UNKNOWN = (
    "validation_balanced_accuracy validation_macro_f1 validation_auroc training_flops "
    "training_seconds step_seconds balanced_accuracy macro_f1 auroc negative_log_likelihood "
    "test_accuracy_tta_c4 test_accuracy_tta_d4 test_accuracy_turned_tta_c4 "
    "test_accuracy_turned_tta_d4 test_accuracy_quarter_turned_tta_c4 asymmetry_share "
    "asymmetry_share_turned test_classes measured_images"
)
# Columns that a version added, with what tables of earlier ones have there: the one value that
# there was, what another column says, or null where nobody knows.
_ADDED: dict[int, dict[str, int | Same | None]] = {
    5: {
        "augment": Same("configuration", "augment"),  # one for all cells of a study
        "training_images": None,  # all
        "tuned_on": Same("dataset"),
        "tuned_cell": Same("cell"),
        **dict.fromkeys(_UNKNOWN.split()),
    },
    6: {"split": 0, "training_images_per_second": None, "precision": None, "execution": None},
    7: dict.fromkeys([
        "validation_accuracy_turned", "tied_images", "invariance_error_untied",
        "invariance_error_mirror_untied",
    ]),
}  # fmt: skip


def added_after(version: int) -> dict[str, int | Same | None]:
    """Return the columns that later versions added, and what stands for them in older tables."""
    return {k: v for since, new in _ADDED.items() if since > version for k, v in new.items()}


def completed(rows: Any, schema: pa.Schema, columns: Sequence[str]) -> Any:
    """Give a table or batch of an older version the columns that it lacks, and all their order."""
    values = added_after(0)
    for name in set(columns) - set(rows.schema.names):
        filled = pa.array(_filled(rows, values[name]), schema.field(name).type)
        rows = rows.append_column(name, filled)
    return rows.select(list(columns))


def _filled(rows: Any, value: int | Same | None) -> list[Any]:
    if not isinstance(value, Same):
        return [value] * rows.num_rows
    known: list[Any] = rows.column(value.column).to_pylist()
    if value.entry is None:
        return known
    return [(json.loads(text or "null") or {}).get(value.entry) for text in known]
