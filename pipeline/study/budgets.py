"""How long a training is: images and steps of an epoch, and the epochs that seconds allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["epoch_images", "matched_epochs", "steps_of_epoch", "validation_passes"]

Configuration = Mapping[str, Any]


def epoch_images(config: Configuration, images: int) -> int:
    """Count the images of an epoch, of a data set with so many training images.

    With ``equal_steps`` an epoch on fewer images repeats them until it is as long as one on all.
    """
    own: int = config.get("training_images") or images
    return images if config.get("equal_steps") else own


def steps_of_epoch(config: Configuration, images: int) -> int:
    """Count the optimiser steps of an epoch, of a data set with so many training images.

    >>> steps_of_epoch({"batch_size": 32, "training_images": 100, "equal_steps": False}, 1000)
    4
    >>> steps_of_epoch({"batch_size": 32, "training_images": 100, "equal_steps": True}, 1000)
    32
    """
    return math.ceil(epoch_images(config, images) / config["batch_size"])


def validation_passes(config: Configuration) -> int:
    """How often an epoch passes the validation images through the network: turned ones, too."""
    return 2 if config.get("objective_turns") else 1


def matched_epochs(config: Configuration, seconds: float, images: int) -> int:
    """Return how many epochs come closest to some seconds of training steps, at least one.

    >>> matched_epochs({"batch_size": 32, "step_seconds": 0.01}, 3.0, 1000)
    9
    """
    return max(1, round(seconds / (config["step_seconds"] * steps_of_epoch(config, images))))
