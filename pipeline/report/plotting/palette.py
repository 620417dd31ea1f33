"""Colours by group, shapes by encoding, fills and dashes by augmentation, markers by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from pipeline.report.plotting.style import INK, MUTED, PAPER
from pipeline.report.text.formatting import plain
from pipeline.report.text.names import (
    AUGMENT_NAMES,
    RIVALS,
    augment_order,
    encoding_order,
    group_order,
    model_order,
)

# Okabe-Ito and Tol colours, ordered so that neighbours differ in lightness: readable in grey.
GROUP_COLOURS = {
    "C1": "#3d3d3d", "C2": "#56b4e9", "C4": "#0072b2", "C8": "#009e73", "C16": "#882255",
    "D1": "#cc79a7", "D2": "#999933", "D4": "#e69f00", "D8": "#d55e00",
}  # fmt: skip
_OTHER_COLOURS = ("#882255", "#44aa99", "#cc79a7", "#999933", "#d55e00", "#56b4e9", "#7b5ea7")
_MARKERS = {"none": "o", "absolute": "s", "relative": "^", "radial": "D", "rotary": "P"}
_OTHER_MARKERS = ("v", "X", "h", "<", ">", "*", "p", "8", "d")
# Augmentation fills a mark: whole without any, hollow with any angle.
_FILLS = {"none": "full", "quarter": "left", "turn": "none", "turn_mirror": "bottom"}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1)),
           (0, (1, 2.2)), (0, (8, 2)))  # fmt: skip

# On lines of other ways to the symmetry of a model; colour and dash are as those of its own.
_RIVALS = {"canonical": "x", "soft": "|", "penalised": "v"}


@dataclass(frozen=True)
class Palette:
    """Colour of every group, shape of every encoding, fill and dash of every augmentation.

    `models` are the markers on the lines of rivals; those of other models have none.
    """

    colours: dict[str, str]
    dashes: dict[str, Any]
    markers: dict[str, str]
    models: dict[str, str]

    @classmethod
    def of(cls, cells: pd.DataFrame) -> Palette:
        """Assign styles to the names in use; well-known names always have the same."""
        names = sorted(set(cells["group"]), key=group_order)
        shapes = sorted(set(cells["positional"]), key=encoding_order)
        turned = sorted(set(cells["augment"]), key=augment_order)
        models = sorted(set(cells["model"]), key=model_order)
        return cls(
            colours=_assign(names, GROUP_COLOURS, _OTHER_COLOURS),
            dashes={name: dash(i) for i, name in enumerate(turned)},
            markers=_assign(shapes, _MARKERS, _OTHER_MARKERS),
            models=dict.fromkeys(models, "")
            | _assign([name for name in models if name in RIVALS], _RIVALS, _OTHER_MARKERS),
        )

    def mark(self, cell: Mapping[str, Any] | pd.Series, size: float = 5.5) -> dict[str, Any]:
        """Return how the mark of a cell is drawn."""
        colour = self.colours[cell["group"]]
        marker = self.markers[cell["positional"]]
        return {"marker": marker, "markersize": size, **fill(cell["augment"], colour)}

    def line(self, cell: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
        """Return how the line of a cell, or of several of one group, is drawn."""
        return {"color": self.colours[cell["group"]], "linestyle": self.dashes[cell["augment"]]}

    def rival_line(self, cell: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
        """Return how `line` is drawn with the marker of a rival, a few times along it."""
        marker = self.models[cell["model"]]
        some = {
            "marker": marker,
            "markersize": 4.5,
            "markevery": 0.13,
            "markerfacecolor": "none",
            "zorder": 2.2,
        }
        return self.line(cell) | (some if marker else {})

    def dots(self, cell: Mapping[str, Any] | pd.Series, size: float) -> dict[str, Any]:
        """Return how single points of a line are drawn."""
        colour, marker = self.colours[cell["group"]], self.models[cell["model"]]
        look = {"linestyle": "", "color": colour}
        if marker:
            look |= {"marker": marker, "markerfacecolor": "none"}
            return look | {"markersize": size + 2.5}  # seen around a dot
        edge = {"markeredgecolor": INK, "markeredgewidth": 0.4}
        return look | {"marker": "o", "markersize": size, **edge}

    def rivals(self) -> list[tuple[str, list[Line2D]]]:
        """Legend section of the models on lines, where some are rivals of others."""
        lines = [
            Line2D([], [], color=INK, linewidth=1.2, marker=marker, markersize=4.5,
                   markerfacecolor="none",
                   label=plain(name, 16))
            for name, marker in self.models.items()
        ]  # fmt: skip
        return [("Model", lines)] if any(self.models.values()) else []

    def sections(self, lines: bool = False, fills: bool = True) -> list[tuple[str, list[Line2D]]]:
        """Legend sections of what varies: groups, encodings (of marks alone), augmentations.

        Without `fills` marks do not show the augmentation.
        """
        groups = [
            Line2D([], [], color=colour, label=plain(name, 16), linewidth=1.6) if lines
            else Line2D([], [], marker="o", linestyle="", label=plain(name, 16),
                        markerfacecolor=colour, markeredgecolor=INK, markeredgewidth=0.5)
            for name, colour in self.colours.items()
        ]  # fmt: skip
        shapes = [
            Line2D([], [], marker=marker, linestyle="", label=plain(name, 16),
                   markerfacecolor=PAPER, markeredgecolor=INK, markeredgewidth=0.9)
            for name, marker in self.markers.items()
        ]  # fmt: skip
        turned = [
            Line2D([], [], color=INK, linestyle=dashes, linewidth=1.2, label=_turned(name))
            if lines
            else Line2D([], [], marker="o", linestyle="", label=_turned(name), **fill(name, MUTED))
            for name, dashes in self.dashes.items()
        ]
        shown = [("Group", groups)]
        if len(shapes) > 1 and not lines:
            shown.append(("Encoding", shapes))
        if len(turned) > 1 and (fills or lines):
            shown.append(("Trained on", turned))
        return shown


def _turned(augment: str) -> str:
    return plain(AUGMENT_NAMES.get(augment, augment), 16)


def fill(augment: str, colour: str) -> dict[str, Any]:
    """Return how a mark of a group's colour shows the augmentation of its cell."""
    how = _FILLS.get(augment, "top")
    return {"fillstyle": how, "markerfacecoloralt": PAPER, "color": colour,
            "markeredgecolor": INK if how == "full" else colour,
            "markeredgewidth": 0.6 if how == "full" else 1.1}  # fmt: skip


def _assign(names: list[str], known: dict[str, str], others: tuple[str, ...]) -> dict[str, str]:
    unknown = [name for name in names if name not in known]
    spare = [value for value in others if value not in {known.get(n) for n in names}] or others
    chosen = {name: spare[i % len(spare)] for i, name in enumerate(unknown)}
    return {name: known.get(name) or chosen[name] for name in names}


def dash(index: int) -> Any:
    """Return the dash pattern of the i-th line of a kind."""
    return _DASHES[index % len(_DASHES)]
