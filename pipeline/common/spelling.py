"""What a user probably meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(got: object, candidates: Collection[str]) -> str | None:
    """The candidate that was probably meant: by spelling, or by its initials.

    Examples
    --------
    >>> nearest("learning_rat", ["learning_rate", "dropout"])
    'learning_rate'
    >>> nearest("wd", ["learning_rate", "weight_decay"])
    'weight_decay'
    """
    text = str(got).lower().replace("-", "_")
    initials = {"".join(word[0] for word in name.split("_") if word): name for name in candidates}
    lower = {name.lower(): name for name in candidates}
    close = get_close_matches(text, lower, n=1)
    return initials.get(text) or (lower[close[0]] if close else None)


def did_you_mean(got: object, candidates: Collection[str]) -> str:
    """Return the end of a sentence that names the nearest candidate, if one is near.

    >>> did_you_mean("swep", ["sweep", "report"]), did_you_mean("x", ["sweep"])
    ("; did you mean 'sweep'?", '')
    """
    meant = nearest(got, candidates)
    return f"; did you mean {meant!r}?" if meant else ""
