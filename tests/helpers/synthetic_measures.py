"""Made-up measurements of a confirmed run: by angle, by layer, by move, and its feature maps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from synthetic import Shape


Row = dict[str, Any]


def is_exact(key: Row) -> bool:
    return key["group"] in ("C4", "D4", "C8", "D8", "C12", "C16")


def rounding(generator: np.random.Generator) -> float:
    return float(2e-7 * math.exp(0.3 * generator.standard_normal()))


D4 = ("r90", "r180", "r270", "m", "r90m", "r180m", "r270m")


SHIFTS = ("+1 +0", "+0 +1", "-1 +0", "+0 -1", "+2 +0", "+0 +2")


def moves(key: Row, seed: int, upright: float, generator: np.random.Generator) -> list[Row]:
    rows = []
    for kind, names in (("element", D4), ("shift", SHIFTS)):
        for name in names:
            still = kind == "element" and is_exact(key) and ("m" not in name or "D" in key["group"])
            error = rounding(generator) if still else 0.3 + 0.5 * generator.random()
            rows.append({
                **key, "seed": seed, "kind": kind, "transformation": name, "images": 64,
                "accuracy": upright if still else 0.5, "invariance_error": error,
                "consistency": 1.0 if still else 0.55,
            })  # fmt: skip
    return rows


def _turned(seen: np.ndarray, frame: int) -> np.ndarray:
    """A map as the element `frame` of D4 sees it."""
    return np.rot90(seen[:, ::-1] if frame >= 4 else seen, frame % 4)


def _values(maps: Iterable[np.ndarray], **columns: Any) -> list[Row]:
    return [
        {**columns, "frame": frame, "row": row, "col": col, "value": float(value)}
        for frame, plane in enumerate(maps)
        for (row, col), value in np.ndenumerate(plane)
    ]


def encodings(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    if key["positional"] not in ("absolute", "relative"):
        return []
    seen = generator.standard_normal((4, 4) if key["positional"] == "absolute" else (7, 7))
    maps = [_turned(seen, frame) for frame in range({"C1": 1, "D4": 8}.get(key["group"], 4))]
    return _values(maps, **key, seed=seed, layer="position.encoding")


def features(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    if key["group"] != "C4":
        return []
    image, maps = generator.random((8, 8)), generator.random((4, 4, 4))
    rows = []
    for turn in range(4):
        known = {**key, "seed": seed, "turn": turn}
        moved = [np.rot90(maps[(frame - turn) % 4], turn) for frame in range(4)]
        rows += _values([np.rot90(image, turn)], **known, layer="input", layer_index=-1)
        rows += _values(moved, **known, layer="tokens", layer_index=1)
    return rows


def angles(key: Row, seed: int, upright: float, generator: np.random.Generator) -> list[Row]:
    rows = []
    for step in range(24):
        angle = 15.0 * step
        exact = angle % 90 == 0
        away = math.sin(math.radians(2 * angle)) ** 2
        turned = abs(((angle + 180) % 360) - 180) / 180
        if is_exact(key):
            accuracy, error = upright - 0.25 * away, 0.7 * away or rounding(generator)
        else:
            accuracy, error = upright * math.exp(-4 * turned) + 0.1, turned**0.5
        if angle == 0:
            accuracy, error = upright, 0.0
        rows.append({
            **key, "seed": seed, "angle_degrees": angle, "exact": exact,
            "accuracy": min(accuracy + 0.004 * generator.standard_normal(), 1.0),
            "consistency": min(accuracy + 0.01, 1.0), "invariance_error": error,
        })  # fmt: skip
    return rows


def layers(key: Row, seed: int, generator: np.random.Generator) -> list[Row]:
    names = ["standardise", "tokens", *["position"] * (key["positional"] == "absolute")]
    names += [*(f"block {i + 1}" for i in range(key["depth"])), "head"]
    elements = ["r90", "r180", "r270"] + (["m", "r90m"] if key["group"].startswith("D") else [])
    return [
        {
            **key, "seed": seed, "layer": name, "layer_index": index, "element": element,
            "error": (rounding(generator) if is_exact(key) else 0.5 + 0.1 * index) * (index > 0),
        }
        for index, name in enumerate(names)
        for element in elements
    ]  # fmt: skip


def hierarchy_rows(shape: Shape, generator: np.random.Generator) -> list[Row]:
    """Return the measured errors of random-weight pixel-token networks."""
    rows = []
    for group in shape.groups:
        for positional in shape.encodings:
            for transformation in ("permutation", "translation", "quarter_turn", "mirror",
                                   "turn_45"):  # fmt: skip
                symmetric = _symmetric(group, positional, transformation)
                for seed in range(3):
                    error = 1e-8 * rounding(generator) if symmetric else 0.5 + generator.random()
                    rows.append({
                        "study": shape.study, "group": group, "positional": positional,
                        "tokens": "pixel", "seed": seed, "transformation": transformation,
                        "error": error, "expected_symmetric": symmetric,
                    })  # fmt: skip
    return rows


def _symmetric(group: str, positional: str, transformation: str) -> bool:
    if positional == "none":
        return transformation != "turn_45"
    if transformation == "translation":
        return positional in ("relative", "radial", "rotary")
    if transformation == "quarter_turn":
        return group in ("C4", "D4", "C8", "D8") or positional == "radial"
    if transformation == "mirror":
        return group in ("D4", "D8", "D1") or positional == "radial"
    return False
