"""How many groups of images (slides, patients) a test has, and what so few of them can say."""

from __future__ import annotations

import numpy as np

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.text.formatting import counted, listed, plain
from pipeline.study.source import FEWEST_GROUPS

FEW = 10  # groups: with fewer the first screen says how many there are


def groups_of_tests(analysis: Analysis) -> dict[str, list[str]]:
    """Return the groups of the test images by data set, of data sets that have groups.

    Studies with several splits have none: their tests differ.
    """
    if analysis.runs["split"].nunique() > 1:
        return {}
    tests = {name: one.images for name, one in analysis.study.predictions.items()}
    return {
        name: [str(group) for group in np.unique(images.groups)]
        for name, images in tests.items()
        if images is not None
        and images.groups is not None
        and name in set(analysis.runs["dataset"])
    }


def too_few(analysis: Analysis) -> list[str]:
    """Return the data sets whose test has so few groups that it says nothing of others."""
    found = groups_of_tests(analysis)
    return [name for name, groups in found.items() if len(groups) < FEWEST_GROUPS]


def limits(analysis: Analysis) -> list[str]:
    """Say which tests have few groups, in a sentence each; tests of the same groups share one."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for name, groups in groups_of_tests(analysis).items():
        if len(groups) < FEW:
            shared.setdefault(tuple(groups), []).append(plain(name, 30))
    return [_limit(list(groups), names) for groups, names in shared.items()]


def _limit(groups: list[str], datasets: list[str]) -> str:
    names = listed([plain(group, 24) for group in groups])
    count = "one group" if len(groups) == 1 else f"{len(groups)} groups"
    text = (
        f"The test images of {listed(datasets)} come from {count} of images ({names}): "
        "intervals and verdicts "
    )
    if len(groups) < FEWEST_GROUPS:
        these = "this group" if len(groups) == 1 else f"these {len(groups)} groups"
        return f"{text}are for other images of {these}, and say nothing of other groups."
    return f"{text}are for all such groups, and wide because there are few of them."


def kind_of_images(analysis: Analysis) -> str:
    """Say which other test images intervals answer for."""
    few = too_few(analysis)
    if not few:
        return "other test images of the same kind"
    same = f"of the same groups, as a test of fewer than {FEWEST_GROUPS} groups says nothing of "
    if len(few) == analysis.runs["dataset"].nunique():
        return f"other test images {same}others"
    return f"other test images of the same kind (of {listed(few)}: {same}others)"


def units(analysis: Analysis) -> str:
    """Return what test images count as in the caption of a table: ``of 2 groups alone``."""
    numbers = sorted({len(groups_of_tests(analysis)[name]) for name in too_few(analysis)})
    if not numbers or len(too_few(analysis)) < analysis.runs["dataset"].nunique():
        return ""
    most = counted(numbers[-1], "group")
    return f" of {most if len(numbers) == 1 else f'{numbers[0]} to {most}'} of images alone"
