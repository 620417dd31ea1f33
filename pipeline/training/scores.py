"""Scores of a classifier from its logits, those that count where classes are rare included."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

__all__ = ["SCORES", "classification_scores", "share_right"]

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "negative_log_likelihood")


def share_right(logits: Tensor, labels: Tensor) -> float:
    """Return the share of right predictions."""
    return (logits.argmax(1) == labels).double().mean().item()


def classification_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the five scores of a split.

    Balanced accuracy is the mean recall of the classes that occur. Macro F1 is the mean over the
    classes that occur or are predicted. The area under the ROC curve is that of one class against
    the rest, averaged over the classes that occur, with ties counted half. All of them are those
    of scikit-learn; a score that is not defined is NaN, as the area of a single class.

    Parameters
    ----------
    logits
        ``(images, classes)``.
    labels
        ``(images,)``.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0], [2.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
    >>> found = classification_scores(logits, torch.tensor([0, 0, 1, 1]))
    >>> [round(found[name], 3) for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc")]
    [0.75, 0.75, 0.733, 0.5]
    """
    likelihood = functional.cross_entropy(logits, labels).item()
    probabilities = logits.double().softmax(1).numpy()
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    classes = logits.shape[1]
    confusion = np.bincount(classes * truth + predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    hits, occurring, guessed = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    known, either = occurring > 0, occurring + guessed > 0
    return {
        "accuracy": float(hits.sum() / len(truth)),
        "balanced_accuracy": float((hits[known] / occurring[known]).mean()),
        "macro_f1": float((2 * hits[either] / (occurring + guessed)[either]).mean()),
        "auroc": _area(probabilities, truth, occurring),
        "negative_log_likelihood": likelihood,
    }


def _area(probabilities: np.ndarray, truth: np.ndarray, occurring: np.ndarray) -> float:
    """Mean area under the ROC curve, each from the ranks of its class (Mann and Whitney)."""
    count = len(truth)
    chosen = np.flatnonzero((occurring > 0) & (occurring < count))
    if not len(chosen) or not np.isfinite(probabilities).all():
        return float("nan")
    from scipy.stats import rankdata  # a second to import, of every process

    ranks = rankdata(probabilities[:, chosen], axis=0)
    own = occurring[chosen]
    sums = (ranks * (truth[:, None] == chosen)).sum(0)
    return float(((sums - own * (own + 1) / 2) / (own * (count - own))).mean())
