"""Accuracy and consistency along a full turn, by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.vectorised import mean_intervals
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.text.formatting import counted, listed, percent, plain
from pipeline.report.text.names import SETTING, encoding_order

PART, ORDER = "results", 60
TITLE = "Accuracy and consistency by angle"
ALT = (
    "Line plots over the angle of the test image, one column a positional encoding, one line a "
    "group: test accuracy above, share of unchanged predictions below."
)
SOURCES = ("confirm/*/angles.parquet",)
ABSENT = "no run finished"
KEYS = [*SETTING, "positional", "group"]
ROWS = (("accuracy", "Accuracy"), ("consistency", "Consistency"))


def table(analysis: Analysis) -> pd.DataFrame:
    """Return mean and interval over seeds at every angle; depths are averaged within a seed."""
    angles = analysis.angles
    if angles.empty:
        return pd.DataFrame()
    keys = [*KEYS, "angle_degrees"]
    names = angles.groupby(KEYS, sort=False)["id"].agg(_listed)
    result = angles.groupby(keys, sort=False)["exact"].all().reset_index()
    result = result.merge(names.rename("cells").reset_index(), on=KEYS)
    seeds = angles.groupby([*keys, "seed"], sort=False)[[name for name, _ in ROWS]].mean()
    for column, _ in ROWS:
        found = mean_intervals(
            seeds.reset_index(), keys, column, analysis.settings.confidence, (0.0, 1.0)
        ).rename(columns={"low": f"{column}_low", "high": f"{column}_high", "n": "seeds"})
        result = result.drop(columns="seeds", errors="ignore").merge(found, on=keys)
    order = analysis.cells["group"].drop_duplicates().tolist()
    result["place"] = result["group"].map({name: i for i, name in enumerate(order)})
    keys = [*SETTING, "positional", "place", "angle_degrees"]
    return result.sort_values(keys, kind="stable").drop(columns="place")


def _listed(cells: pd.Series) -> str:
    return " ".join(str(cell) for cell in sorted(cells.unique()))


def draw(turn: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one column an encoding, accuracy above and consistency below."""
    parts = panels.settings(turn)
    encodings = sorted(turn["positional"].unique(), key=encoding_order)
    figure, axes = panels.grid(
        len(parts) * len(ROWS), len(encodings), 1.75, sharex=True, sharey=True
    )
    for index, (title, part) in enumerate(parts):
        for column, encoding in enumerate(encodings):
            mine = part[part["positional"] == encoding]
            for offset, (measure, _) in enumerate(ROWS):
                _lines(axes[index * len(ROWS) + offset][column], mine, measure, analysis.palette)
            name = f"{plain(encoding, 16)}, {title}" if title else plain(encoding, 16)
            style.panel_title(axes[index * len(ROWS)][column], name, len(encodings))
    for row, line in enumerate(axes):
        line[0].set_ylabel(ROWS[row % len(ROWS)][1])
    for axis in axes[-1]:
        axis.set_xlabel("Turned by (degrees)")
    style.legend(figure, *analysis.palette.sections(lines=True))
    style.note(figure, _notes(turn, analysis))
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, measure: str, palette: style.Palette) -> None:
    axes.set_xlim(0, 360)
    axes.set_xticks(range(0, 361, 90))
    axes.set_ylim(-0.02, 1.03)
    percent_axis(axes.yaxis)
    for group, line in rows.groupby("group", sort=False):
        angle, value, low, high = closed(line, measure)
        colour = palette.colours[group]
        artists = axes.plot(
            angle, value, color=colour, linestyle=palette.dashes[group], linewidth=1.3
        )
        if np.isfinite(low).any():
            band = axes.fill_between(angle, low, high, color=colour, alpha=0.18, linewidth=0)
            style.tag_mean(band, line["cells"].iloc[0])
        exact = line[line["exact"]]
        artists += axes.plot(exact["angle_degrees"], exact[measure], "o", color=colour,
                             markersize=3.5, markeredgecolor=style.INK, markeredgewidth=0.4,
                             clip_on=False)  # fmt: skip
        for artist in artists:
            style.tag_mean(artist, line["cells"].iloc[0])


def closed(line: pd.DataFrame, measure: str) -> tuple[np.ndarray, ...]:
    """Return angle, value, low and high with the start repeated at 360 degrees."""
    line = line.sort_values("angle_degrees")
    columns = ["angle_degrees", measure, f"{measure}_low", f"{measure}_high"]
    arrays = [line[column].to_numpy(dtype=np.float64) for column in columns]
    return (
        np.append(arrays[0], arrays[0][0] + 360),
        *(np.append(values, values[0]) for values in arrays[1:]),
    )


def _notes(turn: pd.DataFrame, analysis: Analysis) -> list[str]:
    depths = analysis.drawn["depth"].nunique()
    averaged = f" and {depths} depths" if depths > 1 else ""
    most = int(turn["seeds"].max())
    bands = (
        f"Bands: {100 * analysis.settings.confidence:g} % Student t intervals over "
        f"{counted(most, 'seed')}."
        if most > 1
        else "One seed: no bands."
    )
    return [
        *panels.failure_notes(analysis.cells),
        f"Means over seeds{averaged}.",
        bands,
        "Dots: quarter turns, which move pixels exactly; between them the image is resampled, so "
        "the dips also measure interpolation, most on small images.",
    ]


def caption(turn: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for group, rows in turn.groupby("group", sort=False):
        exact, between = rows[rows["exact"]], rows[~rows["exact"]]
        text = f"{plain(group, 16)}: {percent(exact['accuracy'].min())} at its worst quarter turn"
        if len(between):
            worst = between.loc[between["accuracy"].idxmin()]
            text += (
                f", {percent(worst['accuracy'])} at its worst angle between "
                f"({worst['angle_degrees']:g} degrees, {plain(worst['positional'], 16)})"
            )
        sentences.append(text)
    return listed([], 0) + "; ".join(sentences) + "."
