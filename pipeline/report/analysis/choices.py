"""What there is to choose from with every number of training images: conditions, with verdicts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from pipeline.report.analysis import measures, overview
from pipeline.report.analysis.samples import Source
from pipeline.report.load import Study

FLOPS = measures.TRAINING_FLOPS.column
COLUMNS = ["family", "images", FLOPS, "seeds", "tested", *overview.COLUMNS]
_SIZE = re.compile(r"(.+?)[-_]\d+")


def family(dataset: str) -> str:
    """Return the name without the number at its end: data sets that are one in several sizes.

    >>> family("mnist-20"), family("mnist"), family("cifar10")
    ('mnist', 'mnist', 'cifar10')
    """
    match = _SIZE.fullmatch(dataset)
    return match[1] if match else dataset


def choices(
    cells: pd.DataFrame, runs: pd.DataFrame, study: Study, sources: Mapping[str, Source]
) -> pd.DataFrame:
    """Return the rows of the overview, of its main test, for each number of training images.

    Only of data sets with several numbers of training images with which the group that fits the
    labels, built in, is compared with other conditions. A family of verdicts is one number.

    Returns
    -------
    pandas.DataFrame
        The `COLUMNS`: with `images` training images, of `seeds` runs on `tested` test images.
    """
    of_runs = runs.dropna(subset=["train_images", "test_images"]).groupby("id").first()
    known = cells[cells["id"].isin(of_runs.index)]
    tables = []
    for (images, dataset), part in known.groupby([
        known["id"].map(of_runs["train_images"]), "dataset",
    ]):  # fmt: skip
        rows = overview.main_test(overview.overview(part, study, sources))
        if rows["reference"].any() and rows["word"].notna().any():
            of = part.set_index("id")
            tables.append(rows.assign(
                family=family(str(dataset)), images=int(images),
                tested=rows["id"].map(of_runs["test_images"]).astype(int),
                **{FLOPS: rows["id"].map(of[FLOPS]), "seeds": rows["id"].map(of["runs_finished"])},
            ))  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(tables, ignore_index=True)[COLUMNS]
    several = table.groupby("family")["images"].transform("nunique") > 1
    return table[several].sort_values("family", kind="stable").reset_index(drop=True)
