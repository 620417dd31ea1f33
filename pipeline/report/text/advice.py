"""Which network to use, from the verdicts of the main test, for a reader with own images."""

from __future__ import annotations

import pandas as pd

from pipeline.common.units import duration
from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.overview import main_test
from pipeline.report.analysis.verdicts import NOT_COMPARED, SAME, UNDECIDED
from pipeline.report.text.choices import CHEAPER, ORDER, choice
from pipeline.report.text.formatting import percent, plain
from pipeline.report.text.names import described
from pipeline.report.text.verdict import word

FLOPS, SECONDS = measures.TRAINING_FLOPS.column, measures.TRAINING_SECONDS.column
EXPLAINED = "FLOPs (arithmetic operations)"  # where the page has them first


def in_words(row: pd.Series) -> str:
    """Describe the condition of a row for a reader who knows none of the names."""
    group, augment = plain(row["group"], 20), plain(row["augment"], 20)
    name = plain(row["condition"], 40)
    return described(group, augment, bool(row["averaged"]), name, str(row["model"]))


def conditions(analysis: Analysis) -> pd.DataFrame:
    """Return the rows of the main test, with FLOPs and seconds of one training."""
    cost = analysis.cells[["id", FLOPS, SECONDS]]
    return main_test(analysis.overview).merge(cost, on="id", how="left")


def nothing_is_decided(analysis: Analysis) -> bool:
    """Whether networks were compared on the main test and no verdict says better or worse."""
    rows = main_test(analysis.overview)
    found = analysis.comparisons
    here = found[
        (found["dataset"] == rows["dataset"].iloc[0]) & (found["measure"] == rows["test"].iloc[0])
        & found["id"].isin(rows["id"]) & found["baseline_id"].isin(rows["id"])
    ]  # fmt: skip
    words = {*rows["word"].dropna(), *here["word"]} - {NOT_COMPARED}
    compared = set(rows["word"].dropna()) - {NOT_COMPARED}
    return bool(compared) and words <= {SAME, UNDECIDED}


def is_close(rows: pd.DataFrame, margin: float) -> bool:
    """Whether all accuracies lie within the margin of each other."""
    return bool(rows["accuracy"].max() - rows["accuracy"].min() <= margin)


def cheapest(rows: pd.DataFrame) -> pd.Series | None:
    """Return the network of fewest FLOPs that is not shown to be worse; None if all cost alike."""
    known = rows[~rows["averaged"].astype(bool) & (rows[FLOPS] > 0)]
    compared = known[known["reference"] | known["word"].isin((SAME, UNDECIDED))]
    if compared.empty or not compared[FLOPS].min() < CHEAPER * known[FLOPS].max():
        return None
    return compared.sort_values([FLOPS, "accuracy"], ascending=[True, False]).iloc[0]


def all_alike(analysis: Analysis) -> str:
    """Say that no network is shown to be better, and which is the cheapest, or the best."""
    rows, margin = conditions(analysis), analysis.settings.margin
    first = rows.iloc[0]
    low, high = (percent(value) for value in (rows["accuracy"].min(), rows["accuracy"].max()))
    same = set(rows["word"].dropna()) <= {SAME}
    text = (
        f"on {measures.SHORT[first['test']]} test images of {plain(first['dataset'], 30)}, the "
        f"networks are {word(SAME, margin) if same else 'not shown to differ'}: "
        + (f"all classify {low} correctly" if low == high else
           f"they classify {low} to {high} correctly")
    )  # fmt: skip
    least = cheapest(rows)
    if least is None:
        return text
    if is_close(rows, margin):
        begun = ", so that the cheapest is enough: "
    else:
        best = plain(rows.loc[rows["accuracy"].idxmax(), "condition"], 40)
        begun = f", the most with {best}; the cheapest is "
    costliest = rows.loc[rows[FLOPS].idxmax()]
    times = f"{least[FLOPS] / costliest[FLOPS]:.2g} times the {EXPLAINED}"
    return (
        f"{text}{begun}{in_words(least)}, at {times} of training of "
        f"{plain(costliest['condition'], 40)}"
    )


def which_network(analysis: Analysis) -> str:
    """Answer which network to use, where the symmetry of the labels is not known; else nothing."""
    if analysis.overview.empty:
        return ""
    rows = conditions(analysis)
    compared = rows[rows["reference"] | rows["word"].isin(ORDER)]
    if rows["symmetry"].iloc[0] or not rows["reference"].any() or len(compared) < 2:
        return ""
    if nothing_is_decided(analysis):
        return f"Which network to use: {_undecided(rows, analysis.settings.margin)}"
    built = compared[compared["reference"]].iloc[0]
    text = choice(built, compared[~compared["reference"]], analysis.settings.margin)
    text = text[:1].lower() + text[1:]
    if "FLOPs" in text:
        text = text.replace("FLOPs", f"{EXPLAINED} of training", 1)
    return f"Which network to use: {text}.{_seconds(compared)}"


def _undecided(rows: pd.DataFrame, margin: float) -> str:
    least, best = cheapest(rows), rows.loc[rows["accuracy"].idxmax()]
    if least is None:
        return f"this test does not say.{_seconds(rows)}"
    if is_close(rows, margin):
        return f"{in_words(least)}, as this test shows none to be better.{_seconds(rows)}"
    return (
        f"this test does not say. The cheapest is {in_words(least)}; the most accurate on these "
        f"images is {in_words(best)}.{_seconds(rows)}"
    )


def _seconds(rows: pd.DataFrame) -> str:
    """Say how long one training takes, with the cheapest and the costliest of some networks."""
    known = rows[rows[SECONDS].notna() & ~rows["averaged"].astype(bool)].sort_values(SECONDS)
    if known.empty:
        return ""
    first, last = known.iloc[0], known.iloc[-1]
    text = f" One training takes {duration(first[SECONDS])} with {plain(first['condition'], 40)}"
    if len(known) > 1:
        text += f", {duration(last[SECONDS])} with {plain(last['condition'], 40)}"
    return f"{text}."
