"""Why a task failed: kept whole with its row, and summarised in one line elsewhere."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["GOOD", "Failure", "brief", "command", "describe", "failure_of", "harmless", "tally"]

# How a task ends that has not failed.
GOOD = ("completed", "stopped")
LINE = 200  # characters of a reason in a line
MESSAGE, SOURCE = 4000, 200  # of what an error says, and of a line of code, in a whole reason
FIRST, LAST = 10, 30  # frames of a traceback
CAUSES = 5
KINDS = 10  # of failures that are counted in a summary

# Where and how a task failed: its status, its reason, and the command that shows the whole.
Failure = tuple[str, object, str]


def harmless(text: str) -> str:
    r"""Write what a terminal would obey as an escape; line ends and tabs stay.

    >>> print(harmless("\x1b[2Jgone\r"), harmless("\u202etxt\ud800"))
    \x1b[2Jgone\r \u202etxt\ud800
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in text
    )


def brief(reason: object, most: int = LINE) -> str:
    r"""Return the first line of a reason, in at most `most` characters.

    >>> brief("ValueError: a \x07 bell\n  a.py:1 in f: g()"), brief(None), brief("x" * 9, most=6)
    ('ValueError: a \\x07 bell', 'no reason recorded', 'xxx...')
    """
    text = reason if isinstance(reason, str) else ""
    lines = text.strip()[: 8 * most].splitlines() or ["no reason recorded"]
    line = harmless(" ".join(lines[0].split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def command(dataset: str, cell: str, which: str) -> str:
    """Return the command that shows all that is kept of a trial or run.

    >>> command("digits", "gsa-C4", "--number 2")
    'python -m pipeline log --dataset digits --cell gsa-C4 --number 2'
    """
    return f"python -m pipeline log --dataset {dataset} --cell {cell} {which}"


def failure_of(row: Mapping[str, Any], where: str) -> Failure | None:
    """Return how the task of a row has failed, if it has; the command `where` shows the whole."""
    return None if row["status"] in GOOD else (row["status"], row.get("reason"), where)


def tally(failures: Iterable[Failure]) -> Iterator[str]:
    """Yield a line for each distinct reason: how often, what, and where the first is whole."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for status, reason, where in failures:
        kind = status, brief(reason)
        counts[kind] += 1
        first.setdefault(kind, where)
    for (status, line), count in counts.most_common(KINDS):
        yield f"{count} {status}: {line}; the first, whole: {first[status, line]}"
    if len(counts) > KINDS:
        rest = sum(count for _, count in counts.most_common()[KINDS:])
        yield f"{rest} more, of {len(counts) - KINDS} other reasons"


def describe(error: BaseException) -> str:
    """Return one line that names the error, then its traceback and those of its causes.

    Paths are cut to their last two parts; what is endless or would move a terminal's cursor is not
    kept.
    """
    lines = [_headline(error), *_frames(error.__traceback__)]
    seen = {id(error)}
    for _ in range(CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        lines += [f"caused by {_headline(cause)}", *_frames(cause.__traceback__)]
        error = cause
    return harmless("\n".join(lines))


def _headline(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "its message cannot be shown"
    if len(said) > MESSAGE:
        said = f"{said[:MESSAGE]}... ({len(said) - MESSAGE:,} more characters)"
    return f"{type(error).__name__}: {said}".strip().removesuffix(":")


def _frames(trace: TracebackType | None) -> Iterator[str]:
    frames = traceback.extract_tb(trace)
    for number, frame in enumerate(frames):
        if FIRST <= number < len(frames) - LAST:
            if number == FIRST:
                yield f"  ({len(frames) - FIRST - LAST} more frames)"
            continue
        place = "/".join(Path(frame.filename).parts[-2:])
        yield f"  {place}:{frame.lineno} in {frame.name}: {(frame.line or '')[:SOURCE]}"
