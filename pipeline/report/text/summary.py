"""The result of the study: one sentence and a few key numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline.common.units import duration
from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.checks import FAILS
from pipeline.report.analysis.comparisons import MEASURED, baseline_of
from pipeline.report.analysis.statistics import Interval
from pipeline.report.load import Settings
from pipeline.report.text.formatting import (
    counted,
    listed,
    percent,
    percent_interval,
    plain,
    small,
)
from pipeline.report.text.verdict import word

QUARTER, UPRIGHT, ERROR = measures.QUARTER, measures.UPRIGHT, measures.ERROR


@dataclass(frozen=True)
class KeyNumber:
    """One large number of the page's head."""

    value: str
    label: str


def interval_of(cell: pd.Series, column: str) -> Interval:
    """Return a cell's interval of one measure."""
    ends = cell[column + "_low"], cell[column + "_high"]
    return Interval(cell[column], *ends, int(cell[column + "_n"]), "")


def representative(cells: pd.DataFrame) -> pd.Series | None:
    """Return the cell with the best confirmed *validation* accuracy.

    Choosing by test accuracy would bias the reported accuracy upwards.
    """
    known = cells[cells[measures.VALIDATION.column].notna() & cells[QUARTER.column].notna()]
    return None if known.empty else known.loc[known[measures.VALIDATION.column].idxmax()]


def sentence(analysis: Analysis) -> str:
    """Return the result in one sentence."""
    drawn, cells = analysis.drawn, analysis.cells
    if drawn.empty:
        reasons = _main_reason(analysis)
        return (
            f"{plain(analysis.settings.study)}: no run finished ({counted(len(cells), 'cell')} "
            f"tried{reasons}); there is nothing to report but the failures."
        )
    parts = [
        _of_dataset(rows, analysis.settings) for _, rows in drawn.groupby("dataset", sort=False)
    ]
    text = f"{plain(analysis.settings.study)}: {'; '.join(parts)}; {_certainty(analysis)}."
    failed = [check for check in analysis.checks if check.outcome == FAILS]
    if failed:
        text += f" Attention: {counted(len(failed), 'expectation')} not met."
    unfinished = len(cells) - len(drawn)
    if unfinished:
        text += f" {counted(unfinished, 'cell')} of {len(cells)} without a finished run."
    return text


def _of_dataset(cells: pd.DataFrame, settings: Settings) -> str:
    exact = representative(cells[cells["exact"]])
    plain_cell = _baseline(cells, exact, settings)
    if exact is None and plain_cell is None:
        best = representative(cells)
        if best is None:
            return f"nothing was measured on {plain(cells['dataset'].iloc[0], 30)}"
        return f"{_accuracies(best)}, and no cell is invariant by construction"
    if exact is None:
        return f"{_accuracies(plain_cell)}, and no invariant cell finished"
    text = f"{_accuracies(exact)}"
    if plain_cell is not None:
        text += (
            f", {plain(plain_cell['label'], 30)} {percent(plain_cell[UPRIGHT.column])} and "
            f"{percent(plain_cell[QUARTER.column])}"
        )
    errors = cells.loc[cells["exact"], ERROR.column + "_max"]
    return f"{text}; invariant cells measure errors of at most {small(errors.max())}"


def _baseline(cells: pd.DataFrame, cell: pd.Series | None, settings: Settings) -> pd.Series | None:
    """Return the baseline that another cell is compared with, else the best one there is."""
    if cell is None:
        return representative(cells[cells["baseline"]])
    found = baseline_of(cell, cells, settings)
    return None if found is None else representative(cells[cells["id"] == found["id"]])


def _accuracies(cell: pd.Series) -> str:
    return (
        f"{plain(cell['label'], 30)} classifies {percent(cell[UPRIGHT.column])} of upright and "
        f"{percent(cell[QUARTER.column])} of quarter-turned test images"
    )


def _certainty(analysis: Analysis) -> str:
    """Count the verdicts on the measures of the figures."""
    columns = [measure.column for measure in MEASURED]
    compared = analysis.comparisons[analysis.comparisons["measure"].isin(columns)]
    compared = compared[compared["p"].notna()]
    if compared.empty:
        seeds = int(analysis.drawn["runs_finished"].min())
        return f"{counted(seeds, 'seed')} a cell, no baseline to compare with"
    margin = analysis.settings.margin
    counts = compared["word"].value_counts()
    words = [f"{count} {word(str(name), margin)}" for name, count in counts.items()]
    return f"of {counted(len(compared), 'comparison')} with the baseline: {listed(words, 8)}"


def _main_reason(analysis: Analysis) -> str:
    rows = pd.concat([analysis.runs["reason"], analysis.trials["reason"]]).dropna()
    return f", mostly: {plain(rows.mode().iloc[0], 80)}" if len(rows) else ""


def key_numbers(analysis: Analysis) -> list[KeyNumber]:
    """Return the numbers at the top of the page."""
    drawn = analysis.drawn
    numbers = []
    exact = representative(drawn[drawn["exact"]])
    baseline = _baseline(drawn, exact, analysis.settings)
    for cell, what in ((exact, "invariant cell"), (baseline, "baseline")):
        if cell is not None:
            value = percent_interval(interval_of(cell, QUARTER.column))
            numbers.append(
                KeyNumber(value, f"{plain(cell['label'], 30)} ({what}), quarter-turned images")
            )
    if drawn["exact"].any():
        worst = drawn.loc[drawn["exact"], ERROR.column + "_max"].max()
        numbers.append(KeyNumber(small(worst), "largest invariance error of invariant cells"))
    finished, runs = int(analysis.cells["runs_finished"].sum()), int(analysis.cells["runs"].sum())
    trials = counted(int(analysis.cells["trials"].sum()), "trial")
    numbers.append(KeyNumber(f"{finished} / {runs}", f"confirmed runs finished, after {trials}"))
    seconds = analysis.study.trials["seconds"].sum() + analysis.study.runs["seconds"].sum()
    numbers.append(KeyNumber(duration(float(seconds)), "of training, trials and runs together"))
    return numbers


def no_failure(analysis: Analysis) -> str:
    """Say that all trials and runs completed."""
    trials, runs = (int(analysis.cells[name].sum()) for name in ("trials", "runs"))
    return f"None: {_all(trials, 'trial')} and {_all(runs, 'run')} completed."


def _all(number: int, noun: str) -> str:
    return f"all {counted(number, noun)}" if number > 1 else counted(number, noun)
