"""Checks of the study against theory: each expectation, what was found, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.report.analysis import label_symmetry, measures
from pipeline.report.analysis.verdicts import BETTER, NOT_COMPARED, UNDECIDED, WORSE
from pipeline.report.load import Study
from pipeline.report.text.formatting import counted, listed, percent, plain, signed_points, small
from pipeline.report.text.names import DOUBLE_MOVED, DOUBLE_ROUNDING, ROUNDING

HOLDS, FAILS, INCONCLUSIVE, NO_DATA = "holds", "fails", "inconclusive", "no data"

# The error of a network without symmetry is far above this.
MIN_ASYMMETRIC = 1e-3


@dataclass(frozen=True)
class Check:
    """One expectation, what was measured, and one of four outcomes."""

    expected: str
    found: str
    outcome: str


def run_checks(
    cells: pd.DataFrame, runs: pd.DataFrame, compared: pd.DataFrame, study: Study
) -> list[Check]:
    """Return every check of the study, the most important first."""
    drawn = cells[cells["runs_finished"] > 0]
    # With more symmetry than the labels have, a network cannot but be worse.
    fitting = drawn[label_symmetry.fits(study, drawn)]
    return [
        exact_cells(drawn, "exact", measures.ERROR.column, "quarter turns"),
        exact_cells(drawn, "exact_mirror", measures.ERROR_MIRROR.column, "mirrors"),
        other_cells(drawn),
        same_answers(drawn, runs),
        hierarchy(study.hierarchy),
        turned_gain(fitting, compared),
        upright_price(fitting, compared),
    ]


def exact_cells(cells: pd.DataFrame, flag: str, column: str, transformation: str) -> Check:
    """Cells symmetric by construction have errors at rounding, every run of them."""
    expected = (
        f"Cells invariant under {transformation} by construction measure invariance errors of "
        f"at most {small(ROUNDING)} (float32 rounding)"
    )
    exact = cells[cells[flag] & cells[column].notna()]
    if exact.empty:
        return Check(expected, "no such cell has a finished run", NO_DATA)
    largest = exact[column + "_max"]
    broken = exact[largest > ROUNDING]
    if broken.empty:
        runs = int(exact[column + "_n"].sum())
        found = (
            f"largest of {counted(len(exact), 'cell')}, {counted(runs, 'run')}: "
            f"{small(largest.max())}{_without_ties(exact)}"
        )
        return Check(expected, found, HOLDS)
    names = [
        f"{plain(row['label'], 30)} ({small(row[column + '_max'])})" for _, row in broken.iterrows()
    ]
    return Check(expected, f"{len(broken)} of {len(exact)} are larger: {listed(names)}", FAILS)


def _without_ties(cells: pd.DataFrame) -> str:
    """Say how many images are left out because a network cannot choose their orientation."""
    tied = cells[cells["tied_images"] > 0] if "tied_images" in cells else cells[:0]
    names = [
        f"{counted(int(row['tied_images']), 'image')} of {plain(row['label'], 30)}"
        for _, row in tied.iterrows()
    ]
    return f", without {listed(names)} whose best two scores are within rounding" if names else ""


def other_cells(cells: pd.DataFrame) -> Check:
    """The measure can fail: cells without the symmetry must show an error."""
    column = measures.ERROR.column
    expected = (
        f"Cells without that symmetry show an error well above rounding (> {small(MIN_ASYMMETRIC)})"
    )
    others = cells[~cells["exact"] & cells[column].notna()]
    if cells.empty:
        return Check(expected, "no run finished", NO_DATA)
    if others.empty:
        return Check(expected, "every finished cell is invariant by construction", NO_DATA)
    still = others[~(others[column + "_low"].fillna(others[column]) > MIN_ASYMMETRIC)]
    if still.empty:
        found = f"smallest mean of {counted(len(others), 'cell')}: {small(others[column].min())}"
        return Check(expected, found, HOLDS)
    names = [f"{plain(r['label'], 30)} ({small(r[column])})" for _, r in still.iterrows()]
    return Check(expected, f"except {listed(names)}", FAILS)


def same_answers(cells: pd.DataFrame, runs: pd.DataFrame) -> Check:
    """An invariant network predicts the same; only near-ties may change by rounding."""
    expected = "Invariant cells predict the same on quarter-turned images as on upright ones"
    mine = runs[runs["id"].isin(cells.loc[cells["exact"], "id"])]
    moved = (mine[measures.QUARTER.column] - mine[measures.UPRIGHT.column]).abs().dropna()
    consistency = mine[measures.CONSISTENCY.column].dropna()
    if moved.empty or consistency.empty:
        return Check(expected, "no such cell has a finished run", NO_DATA)
    found = (
        f"consistency at least {percent(consistency.min(), 2)}, accuracy moved by at most "
        f"{signed_points(moved.max()).lstrip('+')} points over {counted(len(mine), 'run')}"
    )
    # Where two orientations score alike, an image may be answered in another one.
    allowed = (mine["tied_images"] / mine["test_images"]).astype(float).fillna(0)
    holds = (mine[measures.CONSISTENCY.column] + allowed).min() >= 0.999
    return Check(expected, f"{found}{_without_ties(cells)}", HOLDS if holds else FAILS)


def hierarchy(table: pd.DataFrame) -> Check:
    """Untrained networks on pixel tokens have exactly the symmetries theory gives them."""
    expected = (
        "Random-weight networks on pixel tokens have the symmetries theory gives their encoding "
        "and group, and no others"
    )
    rows = table[np.isfinite(table["error"].astype(float))]
    if rows.empty:
        return Check(expected, "the hierarchy was not measured", NO_DATA)
    worst = rows.groupby(["group", "positional", "transformation", "expected_symmetric"])["error"]
    largest, smallest = worst.max().reset_index(), worst.min().reset_index()
    leaks = largest[largest["expected_symmetric"] & (largest["error"] > DOUBLE_ROUNDING)]
    extra = smallest[~smallest["expected_symmetric"] & (smallest["error"] < DOUBLE_MOVED)]
    wrong = pd.concat([leaks, extra])
    if wrong.empty:
        return Check(expected, f"all {len(largest)} entries agree", HOLDS)
    names = [
        f"{plain(r['group'], 12)} {plain(r['positional'], 12)} under "
        f"{r['transformation'].replace('_', ' ')} ({small(r['error'])})"
        for _, r in wrong.iterrows()
    ]
    return Check(expected, f"{len(wrong)} of {len(largest)} disagree: {listed(names)}", FAILS)


def turned_gain(cells: pd.DataFrame, compared: pd.DataFrame) -> Check:
    """Trained upright, an invariant cell should beat the baseline on quarter-turned images.

    A user's images may lie in any orientation, so only the verdict "worse" fails.
    """
    expected = (
        "Invariant cells beat the baseline on quarter-turned images, where training images are "
        "upright"
    )
    rows = _exact_comparisons(cells, compared, measures.QUARTER.column)
    if rows.empty:
        return Check(expected, "nothing to compare", NO_DATA)
    found = _range(rows)
    losers = rows.loc[rows["word"].isin(WORSE), "label"]
    if len(losers):
        losers = [plain(label, 30) for label in losers]
        return Check(expected, f"{found}; worse for {listed(losers)}", FAILS)
    if rows["word"].isin(BETTER).all():
        return Check(expected, found, HOLDS)
    return Check(expected, f"{found}; {_words(rows)}", INCONCLUSIVE)


def upright_price(cells: pd.DataFrame, compared: pd.DataFrame) -> Check:
    """What invariance costs where it is not needed. Theory predicts nothing here."""
    expected = "What invariance costs or gains on upright images (theory predicts nothing)"
    rows = _exact_comparisons(cells, compared, measures.UPRIGHT.column)
    if rows.empty:
        return Check(expected, "nothing to compare", NO_DATA)
    outcome = INCONCLUSIVE if rows["word"].isin([UNDECIDED, NOT_COMPARED]).all() else HOLDS
    return Check(expected, f"{_range(rows)}; {_words(rows)}", outcome)


def _exact_comparisons(cells: pd.DataFrame, compared: pd.DataFrame, column: str) -> pd.DataFrame:
    exact = set(cells.loc[cells["exact"], "id"])
    chosen = compared["id"].isin(exact) & (compared["measure"] == column)
    return compared[chosen & compared["p"].notna()]


def _range(rows: pd.DataFrame) -> str:
    low, high = rows["difference"].min(), rows["difference"].max()
    span = signed_points(low) if low == high else f"{signed_points(low)} to {signed_points(high)}"
    return f"{span} points against the baseline ({counted(len(rows), 'cell')})"


def _words(rows: pd.DataFrame) -> str:
    """Count the verdicts: `2 clearly better, 1 undecided`."""
    return ", ".join(f"{count} {word}" for word, count in rows["word"].value_counts().items())
