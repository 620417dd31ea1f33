"""Positional encodings of the trained networks as every frame sees them: the group acts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.text.formatting import listed, plain, small
from pipeline.report.text.names import encoding_order, group_order, parse_group

PART, ORDER = "exact", 50
TITLE = "Learned positional encodings under the group"
ALT = (
    "One row per positional encoding of a trained network, one column per frame: the encoding "
    "turned and mirrored by the element of the frame."
)
SOURCES = ("confirm/*/encodings.parquet",)
ABSENT = "no group with several frames has a learned map of positions"
MAX_FRAMES = 8  # more make no legible row


def table(analysis: Analysis) -> pd.DataFrame:
    """Return one cell an encoding, of the group with most frames: the one validated best."""
    rows = analysis.study.encodings
    if rows.empty:
        return pd.DataFrame()
    frames = rows.groupby(["dataset", "cell"])["frame"].max() + 1
    known = frames[(frames > 1) & (frames <= MAX_FRAMES)]
    runs = analysis.runs.merge(known.rename("frames").reset_index(), on=["dataset", "cell"])
    if runs.empty:
        return pd.DataFrame()
    shown = sorted(runs["group"].unique(), key=group_order)[-1]
    runs = runs[(runs["group"] == shown) & runs["validation_accuracy"].notna()]
    best = runs.loc[runs.groupby("positional")["validation_accuracy"].idxmax()]
    chosen = best[["dataset", "cell"]].drop_duplicates()
    mine = rows.merge(chosen, on=["dataset", "cell"])
    mine = mine.assign(order=mine["positional"].map(lambda name: encoding_order(name)[0]))
    mine = mine.sort_values(["order", "frame", "row", "col"], kind="stable")
    return mine.drop(columns="order")


def maps(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return each encoding's maps ``(frame, height, width)``."""
    found = {}
    for positional, part in rows.groupby("positional", sort=False):
        shape = tuple(int(part[name].max()) + 1 for name in ("frame", "row", "col"))
        values = part.sort_values(["frame", "row", "col"])["value"]
        found[str(positional)] = values.to_numpy(dtype=np.float64).reshape(shape)
    return found


def departure(values: np.ndarray, group: str) -> float | None:
    """Largest difference from turning and mirroring the first frame, over the range.

    None where the frames are not quarter turns and mirrors of one another.
    """
    family, n = parse_group(group) or ("", 0)
    if n not in (1, 2, 4) or len(values) != (2 * n if family == "D" else n):
        return None
    expected = [
        np.rot90(values[0][:, ::-1] if frame >= n else values[0], (frame % n) * 4 // n)
        for frame in range(len(values))
    ]
    return float(np.abs(values - np.stack(expected)).max() / max(np.ptp(values), 1e-300))


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row per encoding, one column per frame."""
    found = maps(rows)
    columns = max(len(values) for values in found.values())
    figure, axes = panels.grid(len(found), columns, min(1.5, 6.9 / columns + 0.05), stack=False)
    for line, (name, values) in zip(axes, found.items(), strict=True):
        for frame, axis in enumerate(line):
            axis.imshow(values[frame], cmap="gray", vmin=values.min(), vmax=values.max(),
                        interpolation="nearest")  # fmt: skip
            axis.set_xticks([])
            axis.set_yticks([])
            if line is axes[0]:
                axis.set_title(f"frame {frame}", fontsize=6.5)
        line[0].set_ylabel(plain(name, 12))
    runs = rows[["cell", "dataset", "seed"]].drop_duplicates()
    cells = [
        f"{plain(cell)} on {plain(dataset, 20)}, seed {seed}"
        for cell, dataset, seed in runs.itertuples(index=False)
    ]
    style.note(figure, [
        f"Weights: {listed(cells)}. Of each encoding the channel that varies most; absolute: over "
        "the tokens of the image, else over offsets from the query, first head.",
    ])  # fmt: skip
    return figure


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    group = str(rows["group"].iloc[0])
    parts = []
    for name, values in maps(rows).items():
        found = departure(values, group)
        if found is not None:
            parts.append(f"{plain(name, 12)} {small(found)}")
    exact = (
        f" Largest difference from exactly that, over the range of the values: {listed(parts)}."
        if parts
        else " Between quarter turns the encoding is a continuous function, sampled on the grid."
    )
    return (
        f"Each frame of a {plain(group, 12)} network reads the same learned encoding, turned and "
        f"mirrored by its element.{exact}"
    )
