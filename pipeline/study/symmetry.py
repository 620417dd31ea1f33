"""Say in words what the measured symmetry of a data set means, and what to try first.

The numbers are those of the key `symmetry` of a card, which `prepare` measures
(`pipeline.prepare.symmetry.measure`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["FEW_IMAGES", "compared_groups", "findings", "recommendation", "recommended_group"]

FEW_IMAGES = 1000  # with fewer, only large effects are found
ALPHA = 0.005  # of each test, the least that 199 permutations can say
LEAST_CHANGE = (
    0.1  # share of the images whose label has to change before a group is advised against
)

_TURNS = ("half turn", "quarter turn")


def findings(symmetry: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line on each transformation that was tested, then how far the answer goes.

    Parameters
    ----------
    symmetry
        Of a card.
    """
    measured = symmetry.get("measured")
    if measured is None:
        return
    for name, test in measured["tests"].items():
        low, high = (f"{bound:.0%}" for bound in test["images_interval"])
        copy = "turned" if name in _TURNS else "mirrored"
        yield (
            f"{name}: of an image and its {copy} copy, a classifier picks the original in "
            f"{test['images_accuracy']:.0%} of cases ({low} to {high}; guessing gives 50%): "
            f"{_images_words(name, test)}; {_label_words(test)}"
        )
    if measured["images"] < FEW_IMAGES:
        yield (
            f"measured on {measured['images']:,} images, none of the test: "
            "smaller effects are not found"
        )


def recommendation(symmetry: Mapping[str, Any]) -> str:
    """Return which groups and which augmentation to try first.

    Parameters
    ----------
    symmetry
        Of a card; without a measurement the text says so.
    """
    measured = symmetry.get("measured")
    if measured is None:
        return "The symmetry was not measured: compare C1, C4 and D4."
    tests = measured["tests"]
    if not _labels_learned(tests):
        return (
            "The labels could not be learned from so few or such images, so that it is open "
            "whether they depend on the orientation: compare C1, C4 and D4."
        )
    group, augment = _first_group(tests)
    changed = [name for name, test in tests.items() if _labels_change(test)]
    new = [name for name in tests if _oriented(tests[name]) and name not in changed]
    says = "No turn or mirror changes the labels"
    if any(map(_few_labels_change, tests.values())):
        says += (
            f" of {LEAST_CHANGE:.0%} of the images or more (a few may be the classifier's mistakes)"
        )
    if changed:
        says = f"A {' and a '.join(changed)} changes the labels"
    others = [name for name in compared_groups(symmetry)[0] if name != group]
    words = [
        f"{says}: try {group} first"
        + f", compared with {' and '.join(others)}"
        + f", and augment: {augment}."
    ]
    if new:
        words.append(
            f"Images after a {' or a '.join(new)} do not look like these images: augmentation "
            "trains on images that do not occur, and an invariant network cannot use the "
            "orientation, so that C1 without augmentation may be better on upright images."
        )
    elif not changed:
        words.append("Turned and mirrored images are as likely as the images themselves.")
    return " ".join(words)


def compared_groups(symmetry: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the groups to compare, the smallest first, and the augmentation of `recommendation`.

    Parameters
    ----------
    symmetry
        Of a card.
    """
    measured = symmetry.get("measured")
    if measured is None or not _labels_learned(measured["tests"]):
        return ["C1", "C4", "D4"], "none"
    group, augment = _first_group(measured["tests"])
    if group == "C1":  # alone it would be no comparison
        return ["C1", "C4"], augment
    return list(dict.fromkeys(["C1", f"C{group[1:]}", group])), augment


def recommended_group(symmetry: Mapping[str, Any]) -> str | None:
    """Return the group that `recommendation` says to try first, None where it names none.

    Parameters
    ----------
    symmetry
        Of a card.
    """
    measured = symmetry.get("measured")
    if measured is None or not _labels_learned(measured["tests"]):
        return None
    return _first_group(measured["tests"])[0]


def _labels_learned(tests: Mapping[str, Any]) -> bool:
    return all(test["labels_learned"] for test in tests.values())


def _first_group(tests: Mapping[str, Any]) -> tuple[str, str]:
    """Return the largest group that the labels allow, and the augmentation.

    Mirrors only where mirrored images are not new to the data.
    """
    half, quarter = (not _labels_change(tests[name]) for name in _TURNS)
    turns = 4 if half and quarter else 2 if half else 1
    mirrors = not _labels_change(tests["mirror"]) and not _oriented(tests["mirror"])
    augment = ("turn_mirror" if mirrors else "turn") if turns == 4 else "none"
    return f"{'D' if mirrors else 'C'}{turns}", augment


def _oriented(test: Mapping[str, Any]) -> bool:
    """Whether the images show their orientation: by the test, and by the interval that is shown."""
    return bool(test["images_p"] <= ALPHA and test["images_interval"][0] > 0.5)


def _labels_change(test: Mapping[str, Any]) -> bool:
    return bool(test["label_change"] >= LEAST_CHANGE and test["label_change_interval"][0] > 0)


def _few_labels_change(test: Mapping[str, Any]) -> bool:
    return bool(test["label_change"] >= 0.005 and test["label_change_interval"][0] > 0)


def _images_words(name: str, test: Mapping[str, Any]) -> str:
    if not _oriented(test):
        return "no preferred orientation was found" if name in _TURNS else "no preferred side"
    return "the images have a preferred " + ("orientation" if name in _TURNS else "side")


def _label_words(test: Mapping[str, Any]) -> str:
    if not test["labels_learned"]:
        return "the labels could not be learned, so nothing is known of them"
    if _labels_change(test):
        return f"the label changes for about {test['label_change']:.0%} of the images or more"
    if _few_labels_change(test):
        return f"the label changes for about {test['label_change']:.1%} of the images"
    return "no change of the labels was found"
