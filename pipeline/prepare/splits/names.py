"""Recognise common names of splits, such as Train_Set or val2017."""

from __future__ import annotations

import re

_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainval", "trn"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tests", "tst"), "test"),
}
# Words that may accompany the name of a split, or name a folder that only wraps others.
_PLAIN_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        "data dataset datasets fold full image images img imgs jpg photos pictures png seg set "
        "sets split splits subset",
    )
)


def split_of(name: str) -> str | None:
    """Return the split that a name means, or None.

    Examples
    --------
    >>> [split_of(name) for name in ("Train_Set", "seg_test", "val2017", "trainImages", "testdata")]
    ['train', 'test', 'validation', 'train', 'test']
    >>> split_of("train_station"), split_of("test_masks"), split_of("contest")
    (None, None, None)
    """
    words = words_of(name)
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    others = {word for word in words if word not in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 and others <= _PLAIN_WORDS else None


def is_plain(name: str) -> bool:
    """Whether a name means no more than a set of images."""
    words = words_of(name)
    return bool(words) and set(words) <= _PLAIN_WORDS


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, without digits."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+", spaced.lower())
    return [piece for word in words for piece in _split_word(word)]


def _split_word(word: str) -> list[str]:
    """Split a word such as ``trainset`` into two."""
    for start in _SPLIT_WORDS:
        if word.startswith(start) and word[len(start) :] in _PLAIN_WORDS:
            return [start, word[len(start) :]]
    return [word]


def is_enough(splits: set[str]) -> bool:
    """Whether given splits suffice: train and a split to test on."""
    return "train" in splits and len(splits) > 1
