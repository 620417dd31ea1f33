"""A verdict as a sentence: the word, the difference with its interval, and what it rests on."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.report.text.formatting import counted, p_value, signed_points

WITHIN_MARGIN = "within the margin"
NO_CLAIM = "no claim beyond"  # begins the basis of a verdict on too few groups of test images


def sentence(row: pd.Series, margin: float) -> str:
    """Return a judged contrast as text; the columns are those of `analysis.families`."""
    if pd.isna(row["difference"]):
        return f"not compared: {row['basis']}"
    points = f"{signed_points(row['difference'])} points"
    if pd.isna(row["low"]):
        return f"not compared: {points} on one {'test image' if row['images'] == 1 else 'split'}"
    ends = f"[{signed_points(row['low'])}, {signed_points(row['high'])}]"
    return f"{word(row['word'], margin)}: {points} {ends} ({_facts(row)}){_needed(row)}"


def word(name: str, margin: float) -> str:
    """Return the word of a verdict with the margin in numbers.

    >>> word("the same within the margin", 0.01), word("clearly better", 0.01)
    ('the same within 1 point', 'clearly better')
    """
    points = f"within {100 * margin:g} point{'' if margin == 0.01 else 's'}"
    return name.replace(WITHIN_MARGIN, points)


def _facts(row: pd.Series) -> str:
    parts = []
    if row["comparisons"] > 1:
        parts.append(f"p = {p_value(row['p_holm'])} after Holm over {row['comparisons']:.0f}")
    else:
        parts.append(f"p = {p_value(row['p_holm'])}")
    parts.append(counted(int(row["seeds"]), "seed"))
    images = f"{int(row['images']):,} test image{'' if row['images'] == 1 else 's'}"
    if row["groups"]:
        images += f" in {int(row['groups'])} groups"
    parts.append(images)
    if row["datasets"] > 1:
        parts.append(counted(int(row["datasets"]), "data set"))
    if row["excluded"]:
        parts.append(f"{counted(int(row['excluded']), 'run')} failed and left out")
    return ", ".join(parts) + (f"; {row['basis']}" if row["basis"] else "")


def _needed(row: pd.Series) -> str:
    if row["word"] != "undecided" or "split" in row["basis"] or NO_CLAIM in row["basis"]:
        return ""
    if signed_points(row["difference"]) == "0.0":  # there is nothing to decide
        return ""
    what = "groups of test images" if row["groups"] > 3 else "test images"
    ways = [
        f"{value:,.0f} {name}"
        for value, name in ((row["seeds_needed"], "seeds"), (row["images_needed"], what))
        if math.isfinite(value)
    ]
    if not ways:
        return "; neither more seeds nor more test images alone would decide"
    return f"; if the difference stays, {' or '.join(ways)} would decide"
