"""Scores of predictions: distance between logits, calibration, confusion matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BINS = 15
MAX_PAIRED, ROWS = 4096, 512  # images whose pairs are compared, and rows of pairs held at once


def spread(logits: Tensor) -> float:
    """Mean of ``|z(x) - z(x')|`` over pairs of different images, a few rows of pairs at a time.

    As `gsa_core.equivariance.logit_spread`; beyond 4096 images, of 4096 evenly spaced ones.
    """
    if len(logits) < 2:
        raise ValueError(f"logits: got {len(logits)} image; the spread needs 2 or more")
    if len(logits) > MAX_PAIRED:
        logits = logits[torch.linspace(0, len(logits) - 1, MAX_PAIRED).round().long()]
    total = sum(
        # not by the dot-product shortcut, which loses half the digits
        torch.cdist(part, logits, compute_mode="donot_use_mm_for_euclid_dist").double().sum().item()
        for part in logits.split(ROWS)
    )
    return total / (len(logits) * (len(logits) - 1))


def calibration_error(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal-width bins.

    Each bin of confidence counts by its images (Guo et al. 2017).

    Examples
    --------
    >>> z = torch.tensor([[20.0, 0.0], [20.0, 0.0]])
    >>> round(calibration_error(z, torch.tensor([0, 1])), 3)  # sure, and right half the time
    0.5
    """
    _, confidence, right = _binned(logits, labels, bins)
    return ((right - confidence).abs().sum() / len(labels)).item()


def calibration_rows(
    images: str, logits: Tensor, labels: Tensor, bins: int = BINS
) -> list[dict[str, Any]]:
    """Mean confidence and accuracy of every bin of confidence that holds an image."""
    sums = zip(*(column.tolist() for column in _binned(logits, labels, bins)), strict=True)
    return [
        {"images": images, "bin": place, "count": count, "confidence": confidence / count,
         "accuracy": right / count}
        for place, (count, confidence, right) in enumerate(sums) if count
    ]  # fmt: skip


def _binned(logits: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, confidence and right predictions of every bin, summed."""
    confidence, predicted = logits.double().softmax(1).max(1)
    right = (predicted == labels).double()
    place = (confidence * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(place, minlength=bins)
    return (counts, torch.bincount(place, confidence, bins), torch.bincount(place, right, bins))


def confusion_rows(images: str, logits: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Count every pair of label and prediction that occurs."""
    pairs = torch.stack([labels, logits.argmax(1)], 1)
    found, counts = pairs.unique(dim=0, return_counts=True)
    return [
        {"images": images, "label": label, "predicted": predicted, "count": count}
        for (label, predicted), count in zip(found.tolist(), counts.tolist(), strict=True)
    ]
