"""Accuracies that others published, with their protocols, to stand beside a study's own."""

from __future__ import annotations

import io
from importlib import resources

import pandas as pd

CAPTION = (
    "Published test accuracies in per cent. Protocols differ in training images, augmentation and "
    "epochs; where the best epoch was chosen on the test images, or one seed was run, it says so. "
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
