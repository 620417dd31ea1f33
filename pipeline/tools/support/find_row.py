"""Find a row of a table by what the user says: its data set, its cell, and its trial or seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.spelling import did_you_mean

__all__ = ["dataset_named", "row_of"]


def dataset_named(name: str | None, known: Sequence[str]) -> str:
    """Choose the data set: the one that is named, or the only one."""
    if name is None and len(known) > 1:
        raise UserError(
            f"the study has several data sets; add --dataset, one of {', '.join(known)}"
        )
    if name is not None and name not in known:
        raise UserError(f"--dataset: got {name!r}; accepts {', '.join(known)}")
    return name or known[0]


def row_of(
    table: pd.DataFrame, cell: str, column: str, value: int, cells: Iterable[str] = ()
) -> pd.DataFrame:
    """Return the one row of a cell whose `column`, trial or seed, has a value.

    Parameters
    ----------
    table
        Has a row for each trial or run that has ended.
    cells
        The cells of the study, of which some may have no row yet.

    Raises
    ------
    UserError
        There is no such cell or no such row; it says which there are.
    """
    mine = table[table["cell"] == cell]
    known = sorted({*table["cell"], *cells})
    if mine.empty and cell in known:
        kind = {"trial": "trial", "seed": "run"}[column]
        raise UserError(f"--cell: no {kind} of {cell} has ended yet")
    if mine.empty:
        if not known:
            raise UserError(f"--cell: got {cell!r}; the table has no rows yet")
        guess = did_you_mean(cell, known)
        raise UserError(f"--cell: got {cell!r}; accepts {', '.join(known)}{guess}")
    chosen = mine[mine[column] == value]
    if chosen.empty:
        option = {"trial": "--number"}.get(column, f"--{column}")
        values = ", ".join(str(one) for one in sorted(mine[column])[:20])
        more = f" and {len(mine) - 20} more" if len(mine) > 20 else ""
        raise UserError(f"{option}: got {value}; {cell} has {values}{more}")
    return chosen
