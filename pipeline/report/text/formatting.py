"""Numbers and names as text: one format for captions, tables and verdicts."""

from __future__ import annotations

import math
import re

import pandas as pd

from pipeline.report.analysis.statistics import Interval

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Control and direction-changing characters would let a name rearrange the text around it.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def plain(text: object, limit: int = 60) -> str:
    """Return one printable line of at most `limit` characters."""
    line = _INVISIBLE.sub(" ", str(text)).encode("utf-8", "replace").decode("utf-8").strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def entry(value: object) -> object:
    """Return what a table shows for a value: itself, or a dash where it is not known.

    >>> entry(float("nan")), entry(None), entry("nan"), entry(0)
    ('–', '–', 'nan', 0)
    """
    unknown = value is None or (isinstance(value, float) and math.isnan(value))
    return "–" if unknown or value is pd.NA else value


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as a percentage, `97.1 %`; an unknown one as a dash."""
    return "–" if not math.isfinite(fraction) else f"{100 * fraction:.{digits}f} %"


def signed_points(difference: float) -> str:
    """Return a difference of fractions in percentage points with its sign."""
    if not math.isfinite(difference):
        return "–"
    text = f"{100 * difference:+.1f}"
    return text.replace("-", MINUS) if float(text) else "0.0"


def small(value: float) -> str:
    """Return an error with two digits: `0.98`, `0.023`, `2.3e-7`; `0` only where it is zero."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 0.1 <= abs(value) < 1000:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    if 0.01 <= abs(value) < 0.1:
        return f"{value:.3f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def power_of_ten(value: float) -> str:
    """Return a power of ten as a tick label, `10⁻⁷`, without a markup language."""
    return "10" + str(round(math.log10(value))).translate(_SUPERSCRIPTS)


def amount(value: float) -> str:
    """Return a count with a metric suffix: `27.3k`, `1.5M`."""
    if not math.isfinite(value):
        return "–"
    for size, suffix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def p_value(value: float) -> str:
    """Return a p-value with two digits."""
    return "–" if not math.isfinite(value) else f"{value:.2g}"


def counted(number: int, noun: str) -> str:
    """Return `1 seed`, `3 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(items: list[str], limit: int = 4) -> str:
    """Return `a, b and c`; beyond `limit` items the rest is counted."""
    if len(items) > limit:
        return f"{', '.join(items[:limit])} and {len(items) - limit} more"
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def said_of_panels(sentences: list[str], limit: int = 6) -> str:
    """Join a sentence a panel; beyond `limit` the rest is counted.

    >>> said_of_panels(["One.", "Two.", "Three."], 1)
    'One. Of 2 more panels: see the numbers (CSV).'
    """
    rest = len(sentences) - limit
    more = [f"Of {counted(rest, 'more panel')}: see the numbers (CSV)."] if rest > 0 else []
    return " ".join([*sentences[:limit], *more])


def percent_interval(interval: Interval) -> str:
    """Return `97.1 % [96.0, 98.2]`, or the mean alone where there is no interval."""
    if not math.isfinite(interval.low):
        return percent(interval.centre)
    return f"{percent(interval.centre)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
