"""The share of the loss due to asymmetry over the training of a run, on validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from gsa_core.groups import act_on_image
from pipeline.confirm.measures.measured_network import QUARTER_TURNS, SQUARE, Orbit, Probe
from pipeline.confirm.measures.predictions import image_order
from pipeline.dataset import Dataset

__all__ = ["asymmetry_curve", "epochs_between"]

IMAGES = 128  # of the validation split, at most
SHARE = 0.05  # of the forward and backward passes of training, at most
BACKWARD = 3  # a step takes about as long as three forward passes


def asymmetry_curve(
    config: Mapping[str, Any], data: Dataset
) -> Callable[[nn.Module, dict[str, Any]], None]:
    """Return a function that adds `asymmetry_share` to the row of an epoch, every few epochs.

    The share is that of `pipeline.training.orbit_average.asymmetry_share` under C4, on a fixed
    sample of the validation split. Between the epochs that are measured it is None.

    Parameters
    ----------
    config
        The configuration of the run.
    data
        Train and validation splits.
    """
    train = config.get("training_images") or len(data.train)
    interval = epochs_between(train, len(data.validation))
    chosen = torch.from_numpy(image_order(len(data.validation))[:IMAGES])

    def measure(model: nn.Module, row: dict[str, Any]) -> None:
        row["asymmetry_share"] = None
        if row["epoch"] % interval and row["epoch"] != config["epochs"]:
            return
        some = Probe(model, data.validation, chosen)
        turned = [some.logits_moved(partial(act_on_image, SQUARE, k)) for k in QUARTER_TURNS]
        share = Orbit.of([some.logits, *turned], some.labels).asymmetry_share()
        row["asymmetry_share"] = share if math.isfinite(share) else None

    return measure


def epochs_between(train: int, validation: int) -> int:
    """Return after how many epochs to measure again, so that it takes at most `SHARE`.

    Examples
    --------
    >>> epochs_between(10_000, 2000), epochs_between(1000, 250), epochs_between(100, 250)
    (1, 4, 19)
    """
    cost = 4 * min(IMAGES, validation)
    return math.ceil(cost / (SHARE * (BACKWARD * train + validation)))
