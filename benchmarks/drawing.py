"""One look and one place for the figures of docs/: docs/figures/*.svg and *.png."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["FRAMES", "save"]

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "figures"
# One colour a group element, distinguishable in grey and with colour blindness.
FRAMES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")

mpl.use("agg")
mpl.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 120,
        "savefig.bbox": "tight",
        "savefig.facecolor": "white",  # read on dark pages too
        "svg.fonttype": "none",
        "svg.hashsalt": "gsa-core",  # the same picture is the same file
    }
)


def save(figure: Figure, name: str) -> None:
    """Write a figure as SVG and PNG, without dates."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    figure.savefig(FOLDER / f"{name}.png", metadata={"Software": None})
    print(f"docs/figures/{name}.svg, .png", flush=True)
