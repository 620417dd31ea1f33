"""Accuracies that others published, with their protocols, for comparison with a study's."""

from __future__ import annotations

import io
from importlib import resources

import pandas as pd

CAPTION = (
    "Published test accuracies in per cent. Protocols differ in training images, augmentation and "
    "epochs; an entry says if the best epoch was chosen on the test images, or one seed was run. "
    "None was run here, and none may be compared with a number above without its protocol."
)


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
