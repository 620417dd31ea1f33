"""Which way to symmetry to choose, by the number of training images, in words from verdicts."""

from __future__ import annotations

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.choices import FLOPS
from pipeline.report.analysis.verdicts import BETTER, SAME, UNDECIDED, WORSE
from pipeline.report.text.formatting import counted, listed, percent, plain
from pipeline.report.text.names import RIVALS, way
from pipeline.report.text.verdict import WITHIN_MARGIN, word

TITLE = "Which way to symmetry to choose"
ORDER = (*WORSE[1:], WORSE[0], BETTER[1], BETTER[2], BETTER[0], SAME, UNDECIDED)
# Ways as good as the built-in symmetry: the difference lies within the margin.
ALIKE = tuple(name for name in ORDER if WITHIN_MARGIN in name)
CHEAPER = 0.9  # times the FLOPs: what costs less than that is worth a mention


def table(analysis: Analysis) -> pd.DataFrame:
    """Return a row per data set and number of training images: what to choose, and why."""
    several = analysis.choices["family"].nunique() > 1
    rows = []
    for (name, images), part in analysis.choices.groupby(["family", "images"], sort=False):
        compared = part[part["reference"] | part["word"].isin(ORDER)]
        built = compared[compared["reference"]].iloc[0]
        others = compared[~compared["reference"]]
        rows.append({
            **({"data set": plain(name, 30)} if several else {}),
            "training images": f"{images:,} images",
            "choose": choice(built, others, analysis.settings.margin),
            "because": _because(built, others, analysis.settings.margin),
        })  # fmt: skip
    return pd.DataFrame(rows)


def caption(analysis: Analysis) -> str:
    """Say what the choice rests on."""
    rows = analysis.choices
    tests = listed(list(rows["test"].map(measures.SHORT).drop_duplicates()))
    tested, most = int(rows["tested"].max()), int(rows["comparisons"].max())
    least, seeds = int(rows["seeds"].min()), int(rows["seeds"].max())
    many = counted(seeds, "seed") if least == seeds else f"{least} to {seeds} seeds"
    held = f", corrected for up to {most} comparisons a row (Holm's method)" if most > 1 else ""
    return (
        f"From verdicts on {tested:,} {tests} test images and {many}{held}. In brackets: the "
        "group of the network, its test accuracy, and its FLOPs of training as a multiple of those "
        "of the symmetry built in."
    )


def choice(built: pd.Series, others: pd.DataFrame, margin: float) -> str:
    """Name the way to choose; and a cheaper one that is as good, or not shown to be worse.

    `built` is the symmetry built in, `others` are compared with it.
    """
    lost = others[others["word"].isin(WORSE) & ~others["word"].isin(ALIKE)]
    if len(lost):
        return _begun(_named(lost.loc[lost["accuracy"].idxmax()]))
    text, least = _named(built), CHEAPER * built[FLOPS]
    for words, said in ((ALIKE, word(f"as good {WITHIN_MARGIN}", margin)),
                        ((UNDECIDED,), "not shown to be worse")):  # fmt: skip
        cheap = others[others["word"].isin(words) & (others[FLOPS] < least)]
        if len(cheap):
            other = cheap.sort_values(
                [FLOPS, "averaged", "accuracy"], ascending=[True, True, False]
            ).iloc[0]
            text += f"; or {_named(other)}, {said}, at {_times(other, built, ' times the ')}"
            least = other[FLOPS]
    return _begun(text)


def _because(built: pd.Series, others: pd.DataFrame, margin: float) -> str:
    """Compare the symmetry built in with every other way, a line a verdict."""
    lines = [f"{_named(built)} has {percent(built['accuracy'])}."]
    for name in ORDER:
        alike = others[others["word"] == name].sort_values("accuracy", ascending=False)
        if len(alike):
            ways = [_with_numbers(row, built) for _, row in alike.iterrows()]
            lines.append(f"{_than(name, margin)} {listed(ways, len(ways))}.")
    return "\n".join(map(_begun, lines))


def _than(name: str, margin: float) -> str:
    """Return the word of a verdict with what joins it to the other way."""
    if name == UNDECIDED:
        return "not shown to be better or worse than"
    side, _, rest = word(name, margin).partition(", ")
    return f"{side} as" if name == SAME else f"{side} ({rest}) than" if rest else f"{side} than"


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _named(row: pd.Series) -> str:
    return f"{_way(row)} ({_network(row)})"


def _way(row: pd.Series) -> str:
    kind = str(row["group"]), str(row["augment"]), bool(row["averaged"]), str(row["model"])
    return plain(way(*kind), 80)


def _network(row: pd.Series) -> str:
    """Name the group, with the model where the way does not say it."""
    implied = row["model"] == "gsa" or row["model"] in RIVALS
    return plain(row["group"] if implied else f"{row['model']} {row['group']}", 30)


def _with_numbers(row: pd.Series, built: pd.Series) -> str:
    numbers = [_network(row), percent(row["accuracy"]), _times(row, built)]
    return f"{_way(row)} ({', '.join(filter(None, numbers))})"


def _times(row: pd.Series, built: pd.Series, times: str = " × ") -> str:
    if not built[FLOPS] > 0 or pd.isna(row[FLOPS]):
        return ""
    passes = " and four passes a test image" if row["averaged"] else ""
    return f"{row[FLOPS] / built[FLOPS]:.2g}{times}FLOPs{passes}"
