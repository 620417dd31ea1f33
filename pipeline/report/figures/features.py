"""How a turned input moves the features: maps of trained networks at four turns of one image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.text.formatting import plain, small

PART, ORDER = "exact", 40
TITLE = "Feature maps of turned images"
ALT = (
    "One test image at four quarter turns, and below each the feature maps of the lifting layer "
    "and of the last group layer, one column per frame: turned and moved on cyclically."
)
SOURCES = ("confirm/*/features.parquet",)
ABSENT = "no C4 run kept its feature maps"
GROUP = "C4"


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the maps of one C4 cell: the one of best confirmed validation accuracy."""
    rows = analysis.study.features
    known = rows[rows["group"] == GROUP] if len(rows) else rows
    if known.empty:
        return pd.DataFrame()
    runs = analysis.runs[analysis.runs["cell"].isin(known["cell"].unique())]
    best = runs.loc[runs["validation_accuracy"].astype(float).idxmax()]
    mine = (known["cell"] == best["cell"]) & (known["dataset"] == best["dataset"])
    return known[mine].sort_values(["layer_index", "turn", "frame", "row", "col"])


def maps(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return each layer's maps ``(turn, frame, height, width)``."""
    found = {}
    for layer, part in rows.groupby("layer", sort=False):
        shape = tuple(int(part[name].max()) + 1 for name in ("turn", "frame", "row", "col"))
        values = part.sort_values(["turn", "frame", "row", "col"])["value"]
        found[str(layer)] = values.to_numpy(dtype=np.float64).reshape(shape)
    return found


def departure(values: np.ndarray) -> float:
    """Largest difference from turning the maps and moving them on by a frame, over the range."""
    frames = values.shape[1]
    expected = [
        np.stack([np.rot90(values[0, (frame - turn) % frames], turn) for frame in range(frames)])
        for turn in range(len(values))
    ]
    return float(np.abs(values - np.stack(expected)).max() / max(np.ptp(values), 1e-300))


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row per turn: the input, then the frames of each layer."""
    layers = maps(rows)
    columns = sum(values.shape[1] for values in layers.values())
    figure, axes = panels.grid(4, columns, 0.9, stack=False)
    start = 0
    for name, values in layers.items():
        frames = values.shape[1]
        for turn in range(4):
            for frame in range(frames):
                axis = axes[turn][start + frame]
                axis.imshow(values[turn, frame], cmap="gray", vmin=values.min(), vmax=values.max(),
                            interpolation="nearest")  # fmt: skip
                axis.set_xticks([])
                axis.set_yticks([])
                if turn == 0:
                    title = plain(name, 9) if frames == 1 else f"{plain(name, 7)}\nframe {frame}"
                    axis.set_title(title, fontsize=6)
        start += frames
    for turn in range(4):
        axes[turn][0].set_ylabel(f"{90 * turn}°")
    style.note(figure, [
        f"Test image and weights: {plain(rows['cell'].iloc[0])}, seed {rows['seed'].iloc[0]}; of "
        "each layer the channel that varies most on the upright image.",
    ])  # fmt: skip
    return figure


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    parts = [
        f"{plain(name, 20)} {small(departure(values))}"
        for name, values in maps(rows).items() if values.shape[1] > 1
    ]  # fmt: skip
    return (
        "When the input turns by 90 degrees every map turns with it and moves to the next "
        "frame. Largest difference from exactly that, over the range of the values: "
        f"{', '.join(parts)}."
    )
