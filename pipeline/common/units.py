"""Write numbers of seconds and bytes for people, the same way everywhere."""

from __future__ import annotations

__all__ = ["counted", "duration", "size"]


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    >>> counted(1, "cell"), counted(2000, "image")
    ('1 cell', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time with its unit.

    Examples
    --------
    >>> duration(0.4), duration(41), duration(92), duration(600), duration(7300), duration(10**6)
    ('0.4 s', '41 s', '1.5 min', '10 min', '2 h 2 min', '12 days')
    """
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 570:
        return f"{seconds / 60:.1f}".removesuffix(".0") + " min"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 72 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds / 86400:,.0f} days"


def size(count: float) -> str:
    """Write a number of bytes with its unit, to three digits.

    Examples
    --------
    >>> size(0), size(999), size(86_016), size(1_300_000), size(2.5e9), size(3e13)
    ('0 bytes', '999 bytes', '86.0 kB', '1.30 MB', '2.50 GB', '30.0 TB')
    """
    for least, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= 0.9995 * least:
            value = count / least
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{digits}f} {unit}"
    return f"{count:.0f} bytes"
