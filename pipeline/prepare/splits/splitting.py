"""Fixed, stratified splits that share neither an image nor a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.units import counted
from pipeline.dataset.stratified import ImageKeys, class_name, draw_fractions
from pipeline.prepare.labelled_images import LabelledImages
from pipeline.study.source import FEWEST_GROUPS


@dataclass(frozen=True)
class Selection:
    """The images of a split: the given split that holds them and their sorted indices there."""

    given: str
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


def make_splits(
    given: dict[str, ImageKeys],
    generator: np.random.Generator,
    *,
    validation_fraction: float,
    test_fraction: float,
    allow_leaks: bool = False,
    classes: Sequence[tuple[str, int]] = (),
) -> dict[str, Selection]:
    """Return ``train``, ``validation`` and ``test``.

    Given splits are kept; the others are drawn, stratified by class.

    Parameters
    ----------
    given
        Keys of the images of each given split.
    generator
        The source of randomness.
    validation_fraction, test_fraction
        Of the images that the split is drawn from: all of them where the source fixes no split,
        its training split where it fixes only the test (``test_fraction`` is then without effect).
    allow_leaks
        Whether given splits may share images or groups.
    classes
        The name of each class and how many images it has, all given splits together, for messages.

    Raises
    ------
    UserError
        For a class too small to be in every split, and for a test image or group in another split.
    """
    if "all" in given:
        wanted = {"test": test_fraction, "validation": validation_fraction}
        splits = _draw(given, "all", wanted, generator, classes)
    elif "validation" in given:
        splits = {name: _whole(given, name) for name in given}
    else:
        wanted = {"validation": validation_fraction}
        drawn = _draw(given, "train", wanted, generator, classes)
        splits = {**drawn, "test": _whole(given, "test")}
    splits = {name: splits[name] for name in ("train", "validation", "test")}
    if not allow_leaks:
        _refuse_leaks(given, splits)
    return splits


def _whole(given: dict[str, ImageKeys], name: str) -> Selection:
    return Selection(name, np.arange(len(given[name])))


def _refuse_leaks(given: dict[str, ImageKeys], splits: dict[str, Selection]) -> None:
    test = splits["test"]
    for name in ("train", "validation"):
        split = splits[name]
        for word, keys in (("images", "hashes"), ("groups", "groups")):
            held, tested = (getattr(given[one.given], keys) for one in (split, test))
            if held is None or tested is None:
                continue
            shared = np.isin(tested[test.indices], held[split.indices])
            if shared.any():
                count = len(np.unique(tested[test.indices][shared])) if word == "groups" else None
                raise UserError(
                    f"the test split holds {count or int(shared.sum()):,} {word} that are also in "
                    f"{name}: the source's own splits leak, so no test on them can be trusted; "
                    "fix them, or set prepare.allow_leaks: true to have them counted in the card"
                )


def _draw(
    given: dict[str, ImageKeys],
    name: str,
    fractions: dict[str, float],
    generator: np.random.Generator,
    classes: Sequence[tuple[str, int]],
) -> dict[str, Selection]:
    indices = draw_fractions(given[name], fractions, generator, classes)
    return {split: Selection(name, chosen) for split, chosen in indices.items()}


def subsample(
    split: Selection,
    labels: np.ndarray,
    seed: int,
    *,
    fraction: float,
    per_class: int | None = None,
    stream: int = 2,
    classes: Sequence[tuple[str, int]] = (),
) -> Selection:
    """Return a subset of a split, stratified by class; smaller subsets lie within larger ones.

    Parameters
    ----------
    split
        The whole split.
    labels
        ``(count,)`` of its images.
    seed
        Decides the order in which images of a class are taken.
    fraction
        Of each class, at least one image.
    per_class
        LabelledImages of each class instead, or None.
    stream
        Which of the seed's independent streams decides.
    classes
        The name of each class and how many images it has, all given splits together, for messages.

    Raises
    ------
    UserError
        When a class has fewer images than asked for.
    """
    if fraction >= 1 and per_class is None:
        return split
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        wanted = per_class or max(1, round(fraction * len(places)))
        if wanted > len(places):
            raise UserError(
                f"prepare.images_per_class: class {class_name(label, classes)} has "
                f"{counted(len(places), 'training image')}, "
                f"fewer than {wanted}: ask for at most {len(places)}"
            )
        # The order of a class depends on the seed and the class alone.
        generator = np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(stream, int(label)))
        )
        chosen.append(generator.permutation(places)[:wanted])
    return replace(split, indices=split.indices[np.sort(np.concatenate(chosen))])


def group_notes(
    given: Mapping[str, LabelledImages], splits: Mapping[str, Selection]
) -> Iterator[str]:
    """Yield how many groups of images each split has, and what too few in the test mean."""
    counts = {}
    for name, split in splits.items():
        groups = given[split.given].groups
        if groups is None:
            return
        counts[name] = len(np.unique(groups[split.indices]))
    found = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
    yield f"groups of images, such as slides or patients: {found}"
    if counts["test"] < FEWEST_GROUPS:
        yield (
            f"the test has fewer than {FEWEST_GROUPS} groups, so that the report says nothing of "
            "other groups: add groups, or set a larger prepare.test_fraction or confirm.splits"
        )
