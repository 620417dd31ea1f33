"""What groups and encodings are called, in which order, and what theory expects of them."""

from __future__ import annotations

import re

import pandas as pd

from pipeline.report.text.formatting import plain
from pipeline.study.models import MODEL_KINDS, POSITIONAL

# The axes by which cells differ, and those that split a figure into panels: colour, shape, fill
# and dash show the others.
AXES = [
    "dataset", "training_images", "model", "tokens", "depth", "group", "positional", "augment",
]  # fmt: skip
KEYS = ["study", "dataset", "cell", *AXES[1:]]
SETTING = ["dataset", "model", "tokens"]
LINE = ["model", "group", "augment"]  # of a panel
ALL_IMAGES = "all"

# How training images are turned, and what figures and labels call it.
AUGMENT_NAMES = {
    "none": "as they are", "quarter": "quarter turns", "turn": "turns",
    "turn_mirror": "turns, mirrors",
}  # fmt: skip
AUGMENTS = tuple(AUGMENT_NAMES)
TRANSFORMATIONS = ("permutation", "translation", "quarter_turn", "mirror", "turn_45")

# Invariance errors up to here are float32 rounding: no interpolation, no learned asymmetry.
ROUNDING = 1e-5
# The hierarchy of untrained networks is measured in float64.
DOUBLE_ROUNDING, DOUBLE_MOVED = 1e-9, 1e-6

_GROUP = re.compile(r"([CD])([1-9][0-9]{0,3})")


def chance(cells: pd.DataFrame) -> str:
    """Return what intervals of accuracies answer for others of."""
    return "splits" if "splits" in cells else "seeds and test images"


def parse_group(group: str) -> tuple[str, int] | None:
    """Return the family (`C` or `D`) and n of a point group's name, or None for another name."""
    match = _GROUP.fullmatch(group)
    return (match[1], int(match[2])) if match else None


def group_order(group: str) -> tuple[int, str, int, str]:
    """Sort key: C1, C2, C4, C8, D1, D4, then any other name."""
    parsed = parse_group(group)
    return (1, "", 0, group) if parsed is None else (0, *parsed, group)


def encoding_order(positional: str) -> tuple[int, str]:
    """Sort key: from no encoding to the most structured, then any other name."""
    known = list(POSITIONAL)
    return known.index(positional) if positional in known else len(known), positional


def model_order(model: str) -> tuple[bool, str]:
    """Sort key: models before other ways to the symmetry of one of them."""
    return model in RIVALS, model


def augment_order(augment: str) -> tuple[int, str]:
    """Sort key: from no augmentation to the largest group of it, then any other name."""
    known = AUGMENTS.index(augment) if augment in AUGMENTS else len(AUGMENTS)
    return known, augment


def images_order(images: str) -> tuple[int, str]:
    """Sort key: few training images before many, all of them last."""
    return (int(images), "") if images.isdecimal() else (2**62, images)


def axis_name(axis: str, value: object) -> str:
    """What a value of an axis is called in a label.

    >>> axis_name("depth", 2), axis_name("training_images", "300"), axis_name("group", "C4")
    ('d2', 'n300', 'C4')
    """
    prefix = {"depth": "d", "training_images": "n"}.get(axis, "")
    return f"{prefix}{value}"


def condition(group: str, augment: str, averaged: bool = False, model: str = "") -> str:
    """Name what is compared: a group, how training images are turned, averaging at test time.

    >>> condition("C1", "turn"), condition("C1", "none", averaged=True), condition("C4", "none")
    ('C1 + turns', 'C1, averaged', 'C4')
    """
    name = " ".join(filter(None, [model, group]))
    if augment != "none":
        name += f" + {AUGMENT_NAMES.get(augment, augment)}"
    return f"{name}, averaged" if averaged else name


def of_line(line: pd.DataFrame) -> str:
    """Name the condition of a line: that of its first row, with the model of a rival."""
    model, group, augment = line[LINE].iloc[0]
    return condition(plain(group, 16), augment, model=model if model in RIVALS else "")


BUILT_IN = {
    "C2": "half turns", "C4": "quarter turns", "D1": "a mirror", "D2": "half turns and mirrors",
    "D4": "quarter turns and mirrors",
}  # fmt: skip
TRAINED_ON = {
    "quarter": "quarter-turned images", "turn": "images turned by any angle",
    "turn_mirror": "images turned by any angle and mirrored",
}  # fmt: skip


# Other ways to symmetry than exact ties: as a way, and as a network.
RIVALS = {
    "canonical": ("learned canonicalisation", "that turns each image to a learned orientation"),
    "soft": ("loosened ties", "whose built-in symmetry is loosened"),
    "penalised": ("a penalty in the loss", "with a penalty for asymmetry in its loss"),
}


def described(group: str, augment: str, averaged: bool, name: str, model: str = "gsa") -> str:
    """Say in a sentence what `condition` calls `name`.

    >>> described("C4", "none", False, "C4")
    'a network with quarter turns built in (C4)'
    >>> described("C1", "turn", False, "C1 + turns")
    'a network without symmetry trained on images turned by any angle (C1 + turns)'
    >>> described("C1", "none", False, "penalised C1", "penalised")
    'a network with a penalty for asymmetry in its loss (penalised C1)'
    """
    built = f"with {BUILT_IN.get(group, f'the symmetry of {group}')} built in"
    built = RIVALS[model][1] if model in RIVALS else "without symmetry" if group == "C1" else built
    text = f"a network {built}"
    if augment != "none":
        text += f" trained on {TRAINED_ON.get(augment, augment)}"
    if averaged:
        text += ", with answers averaged over the four quarter turns at test time"
    return f"{text} ({name})"


def way(group: str, augment: str, averaged: bool, model: str = "gsa") -> str:
    """Name a way to symmetry in words.

    >>> way("D4", "none", False), way("C1", "quarter", False), way("C1", "none", True)
    ('symmetry built in', 'training on quarter-turned images', 'averaging over four turns')
    >>> way("C1", "none", False), way("D4", "none", False, "canonical")
    ('no symmetry', 'learned canonicalisation')
    """
    built = "" if group == "C1" else "symmetry built in"
    taught = "" if augment == "none" else f"training on {TRAINED_ON.get(augment, augment)}"
    parts = [RIVALS[model][0] if model in RIVALS else built, taught]
    parts += ["averaging over four turns"] if averaged else []
    return " plus ".join(filter(None, parts)) or "no symmetry"


def condition_order(model: str, group: str, augment: str, averaged: bool) -> tuple:
    """Sort key: by group, then from no augmentation to the largest, averages before it."""
    return (
        model_order(model),
        group_order(group),
        not averaged and augment != "none",
        averaged,
        augment_order(augment),
    )


def is_exact(
    group: str, positional: str, tokens: str, transformation: str, model: str = "gsa"
) -> bool:
    """Return whether a cell is invariant by construction, to rounding, whatever its weights.

    `transformation` is `quarter_turn` or `mirror` (one of the four mirrors of D4). The group has
    to contain them, and the model not to loosen its ties; on pixel tokens an encoding blind to
    positions, or one that sees distances alone, brings them without the group.
    """
    if model in MODEL_KINDS and not MODEL_KINDS[model].exact:
        return False
    if tokens == "pixel" and positional in ("none", "radial"):
        return True
    parsed = parse_group(group)
    if parsed is None or parsed[1] % 4:
        return False
    return transformation == "quarter_turn" or parsed[0] == "D"
