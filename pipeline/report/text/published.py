"""Accuracies that others published, with their protocols, for comparison with a study's."""

from __future__ import annotations

import io
from collections.abc import Iterable
from importlib import resources

import pandas as pd

from pipeline.report.analysis import measures

CAPTION = (
    "Published test accuracies in per cent. Protocols differ in training images, augmentation and "
    "epochs; an entry says if the best epoch was chosen on the test images, or one seed was run. "
    "None was run here, and none may be compared with a number above without its protocol."
)


# Data sets of a study: their name in the literature, and the column measured in the same way.
LITERATURE = {
    "mnist-rot": ("rotMNIST", measures.UPRIGHT),
    "rotated-mnist": ("rotMNIST", measures.UPRIGHT),
    "mnist": ("upright MNIST -> rotMNIST", measures.ANY_ANGLE),
    "cifar10": ("CIFAR-10", measures.UPRIGHT),
    "patch-camelyon": ("PatchCamelyon", measures.UPRIGHT),
}


def of_study(datasets: Iterable[str]) -> pd.DataFrame:
    """Return the published numbers of some data sets, also of a part of their training images.

    >>> len(of_study(["cells"])), set(of_study(["cells", "cifar10"])["data"])
    (0, {'CIFAR-10'})
    """
    names = tuple(LITERATURE[name][0] for name in datasets if name in LITERATURE)
    known = table()
    mine = [data in names or data.startswith(tuple(f"{name} " for name in names))
            for data in known["data"]]  # fmt: skip
    return known[mine]


def table() -> pd.DataFrame:
    """Return the published numbers as text, empty where none is known."""
    text = (
        resources.files("pipeline.report.text")
        .joinpath("published.csv")
        .read_text(encoding="utf-8")
    )
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    frame["accuracy"] = pd.to_numeric(frame["accuracy"])
    return frame
