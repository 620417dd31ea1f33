"""The result of the study: one sentence, and three numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline.common.units import duration
from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.checks import FAILS
from pipeline.report.analysis.overview import main_test
from pipeline.report.analysis.statistics import Interval
from pipeline.report.analysis.verdicts import WORSE
from pipeline.report.text.advice import (
    EXPLAINED,
    FLOPS,
    SECONDS,
    all_alike,
    cheapest,
    conditions,
    in_words,
    nothing_is_decided,
)
from pipeline.report.text.formatting import (
    amount,
    counted,
    percent,
    percent_interval,
    plain,
    signed_points,
)
from pipeline.report.text.names import condition, group_order
from pipeline.report.text.verdict import word

AT_THE_CEILING = 0.05  # an accuracy up to so much above it is the ceiling, within chance


@dataclass(frozen=True)
class KeyNumber:
    """One large number of the page's head."""

    value: str
    label: str


def interval_of(cell: pd.Series, column: str) -> Interval:
    """Return a cell's interval of one measure."""
    ends = cell[column + "_low"], cell[column + "_high"]
    return Interval(cell[column], *ends, int(cell[column + "_n"]), "")


def with_interval(row: pd.Series) -> str:
    """Return the accuracy of a row of the overview with its interval."""
    return percent_interval(Interval(row["accuracy"], row["low"], row["high"], 1, ""))


def sentence(analysis: Analysis) -> str:
    """Return the result in one sentence, and what went wrong in one more."""
    cells, drawn = analysis.cells, analysis.drawn
    if drawn.empty:
        return (
            f"{plain(analysis.settings.study)}: no run finished ({counted(len(cells), 'cell')} "
            f"tried{_main_reason(analysis)}); there is nothing to report but the failures."
        )
    text = f"{finding(analysis)}."
    failed = [check for check in analysis.checks if check.outcome == FAILS]
    if failed:
        text += f" Attention: {counted(len(failed), 'expectation')} not met."
    unfinished = len(cells) - len(drawn)
    if unfinished:
        text += f" {counted(unfinished, 'cell')} of {len(cells)} without a finished run."
    return text


def finding(analysis: Analysis) -> str:
    """Return what the verdicts say, without a full stop."""
    rows = analysis.overview
    if rows.empty:
        return "No test image was classified, so there is no finding"
    known = rows[rows["symmetry"] != ""]
    parts = [_fits(known)] if known["dataset"].nunique() > 1 else []
    parts.append(
        all_alike(analysis) if nothing_is_decided(analysis)
        else _against_rivals(main_test(rows), analysis.settings.margin, short=bool(parts))
    )  # fmt: skip
    return ". ".join(text[:1].upper() + text[1:] for text in parts)


def _fits(rows: pd.DataFrame) -> str:
    """Say how often the group of the labels wins, and that a larger one cannot."""
    parts = [part for _, part in rows.groupby("dataset", sort=False) if part["reference"].any()]
    fits = [part for part in parts if not part["word"].isin(WORSE).any()]
    every = f"all {len(parts)}" if len(fits) == len(parts) else f"{len(fits)} of {len(parts)}"
    text = (
        "the network with the symmetry of the labels is the best, or not shown to be worse than "
        f"any other, on {every} data sets of known symmetry"
    )
    beyond = rows[rows["ceiling"] < 1]
    if beyond.empty:
        return text
    stuck = (beyond["accuracy"] <= beyond["ceiling"] + AT_THE_CEILING).all()
    highest = percent(beyond["accuracy"].max(), 0)
    return text + (
        f"; a network with more symmetry than the labels fails ({highest} at best)" if stuck
        else f"; a network with more symmetry than the labels reaches {highest}"
    )  # fmt: skip


def _against_rivals(rows: pd.DataFrame, margin: float, short: bool) -> str:
    """Compare built-in symmetry with the same network augmented or averaged, on one test."""
    first = rows.iloc[0]
    where = f"on {measures.SHORT[first['test']]} test images of {plain(first['dataset'], 30)},"
    reference = rows[rows["reference"]]
    if reference.empty or len(rows) == 1:
        best = rows.loc[rows["accuracy"].idxmax()]
        accuracy = percent(best["accuracy"])
        return f"{where} {in_words(best)} classifies {accuracy} correctly, the most of all"
    built = reference.iloc[0]
    text = f"{where} {in_words(built)} classifies {percent(built['accuracy'])} correctly"
    rivals = _rivals(rows)
    if rivals.empty:
        return text
    best = rivals.loc[rivals["accuracy"].idxmax()]
    text += f"{_verdict(best, margin, several=len(rivals) > 1)}"
    other = rivals[~rivals["averaged"] & (rivals["augment"] == "none")]
    if not short and len(other) and len(rivals) > 1 and other.index[0] != best.name:
        name, accuracy = in_words(other.iloc[0]), percent(other["accuracy"].iloc[0])
        text += f". {name[:1].upper()}{name[1:]} alone reaches {accuracy}"
    return text


def _verdict(row: pd.Series, margin: float, several: bool) -> str:
    """Go on with the verdict against the best without built-in symmetry, of `several` or alone."""
    name, accuracy = in_words(row), percent(row["accuracy"])
    rival = "the best without built-in symmetry" if several else name
    number = f"{name}, reaches {accuracy}" if several else accuracy
    if pd.isna(row["word"]):
        return f"; it was not compared with {rival}: {number}"
    said = word(str(row["word"]), margin)
    if said == "undecided":
        return f"; whether this is better than {rival} is undecided: {number}"
    than = "than" if said.split(",")[0].split()[-1] in ("better", "worse") else "as"
    return f", {said} {than} {rival}: {number}"


def _rivals(rows: pd.DataFrame) -> pd.DataFrame:
    """Conditions of the smallest group: as it is, augmented in training, averaged at test."""
    smallest = min(rows["group"], key=group_order)
    return rows[(rows["group"] == smallest) & ~rows["reference"]]


def key_numbers(analysis: Analysis) -> list[KeyNumber]:
    """Return the three numbers at the top of the page."""
    if analysis.overview.empty:
        return []
    rows = main_test(analysis.overview)
    test, dataset = (rows[name].iloc[0] for name in ("test", "dataset"))
    where = f"{measures.SHORT[test]} test images of {plain(dataset, 30)}"
    built, rivals = rows[rows["reference"]], _rivals(rows)
    numbers = []
    if len(built):
        one = built.iloc[0]
        numbers.append(KeyNumber(with_interval(one), f"{in_words(one)}, on {where}"))
    least = cheapest(conditions(analysis)) if nothing_is_decided(analysis) else None
    if least is not None and len(built) and not least["reference"]:
        rival, why = least, "the cheapest, not shown to be worse"
    elif rivals.empty:
        return numbers
    else:
        rival, why = rivals.loc[rivals["accuracy"].idxmax()], "the best without it"
    numbers.append(KeyNumber(with_interval(rival), f"{in_words(rival)}, {why}"))
    if pd.notna(rival["difference"]):
        ends = [signed_points(rival[f"difference_{end}"]) for end in ("low", "high")]
        value = f"{signed_points(rival['difference'])} points [{', '.join(ends)}]"
        said = word(str(rival["word"]), analysis.settings.margin)
        times = _times(analysis, int(built["id"].iloc[0]), int(rival["id"]))
        numbers.append(KeyNumber(value, f"the difference: {said}{times}{_allowing(rival)}"))
    return numbers


def _allowing(row: pd.Series) -> str:
    """Say for how many comparisons a verdict allows, which its interval does not."""
    if not row["comparisons"] > 1:
        return ""
    return (
        f". The verdict is corrected for {row['comparisons']:.0f} comparisons on these images "
        "(Holm's method); the interval is that of this one alone"
    )


def gaps(analysis: Analysis, dataset: str) -> list[tuple[str, str]]:
    """Say with how many images each group is as good as the others with all of theirs.

    Returns the group with the sentence.
    """
    rows = analysis.size_gaps[analysis.size_gaps["dataset"] == dataset]
    last = rows.drop_duplicates(["dataset", "level", "reference"], keep="last")
    return [(str(row["level"]).partition(" ")[0], _gap(row)) for _, row in last.iterrows()]


def _gap(row: pd.Series) -> str:
    names = []
    for kind in (row["level"], row["reference"]):
        group, _, augment = str(kind).partition(" ")
        names.append(condition(group, augment or "none"))
    needed, low, high = (_images(row, name) for name in ("needed", "needed_low", "needed_high"))
    # An interval that is all at one end of the sizes adds nothing to the bound.
    interval = "" if needed == low and high in (low, f"{row['fewest']:,}") else f" [{low}, {high}]"
    return (
        f"{names[0]} with {needed}{interval} images:\nas good as {names[1]} with {row['images']:,}"
    )


def _images(row: pd.Series, name: str) -> str:
    """Number of images, as a bound at the ends of the sizes that were trained with."""
    value = row[name]
    if value <= row["fewest"]:
        return f"at most {row['fewest']:,}"
    return f"over {row['most']:,}" if value >= row["most"] else f"{float(f'{value:.2g}'):,.0f}"


def _times(analysis: Analysis, first: int, second: int) -> str:
    """Compare the cost of one training: FLOPs, and seconds where they are known."""
    cells = analysis.cells.set_index("id")
    flops, seconds = (
        [cells[name][one] for one in (first, second)] for name in (FLOPS, SECONDS)
    )  # fmt: skip
    if not flops[1] > 0 or pd.isna(flops[0]):
        return ""
    text = f", for {flops[0] / flops[1]:.2g} times the {EXPLAINED} of training"
    if any(map(pd.isna, seconds)):
        return text
    return f"{text} ({duration(seconds[0])} a run against {duration(seconds[1])})"


def extent(analysis: Analysis) -> str:
    """Say in one line how much was run."""
    finished, runs = (int(analysis.cells[name].sum()) for name in ("runs_finished", "runs"))
    trials = counted(int(analysis.cells["trials"].sum()), "trial")
    seconds = analysis.study.trials["seconds"].sum() + analysis.study.runs["seconds"].sum()
    flops = analysis.study.runs[measures.TRAINING_FLOPS.column].sum()
    return (
        f"{finished} of {counted(runs, 'confirmed run')} finished, after {trials}; "
        f"{duration(float(seconds))} of training, {amount(float(flops))} FLOPs in the runs"
    )


def _main_reason(analysis: Analysis) -> str:
    rows = pd.concat([analysis.runs["reason"], analysis.trials["reason"]]).dropna()
    return f", mostly: {plain(rows.mode().iloc[0], 80)}" if len(rows) else ""


def no_failure(analysis: Analysis) -> str:
    """Say that all trials and runs completed."""
    trials, runs = (int(analysis.cells[name].sum()) for name in ("trials", "runs"))
    return f"None: {_all(trials, 'trial')} and {_all(runs, 'run')} completed."


def _all(number: int, noun: str) -> str:
    return f"all {counted(number, noun)}" if number > 1 else counted(number, noun)
