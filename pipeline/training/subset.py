"""Training on fewer images: the first of a fixed stratified order of the training split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.dataset import Dataset, Split

__all__ = ["fewer_images", "stratified_order"]


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Order images so that any first few of them have the classes in their proportions.

    Each class is shuffled and spread evenly over the order: the image of rank r among the n of its
    class comes at (r + 1/2) / n.

    Parameters
    ----------
    labels
        ``(count,)``.
    seed
        The same seed gives the same order.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> labels[stratified_order(labels, 0)].tolist()
    [0, 1, 0, 0, 1, 0]
    """
    shuffled = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        mine = shuffled[labels[shuffled] == label]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def fewer_images(data: Dataset, count: int | None) -> Dataset:
    """Return a data set with its first `count` training images.

    Their order is stratified by class, and drawn with the seed of the split.
    Smaller subsets are parts of larger ones. The mean and standard deviation by which a network
    standardises images are those of the subset.
    """
    if count is None:
        return data
    if count > len(data.train):
        raise ValueError(f"{data.name} has {len(data.train)} training images, not {count}")
    order = stratified_order(data.train.labels, int(data.card.get("seed", 0)))
    chosen = np.sort(order[:count])
    images = data.train.images[chosen]
    train = Split(images, data.train.labels[chosen])
    scale = 255 if images.dtype == np.uint8 else 1
    pixels = np.moveaxis(images, 1, 0).reshape(images.shape[1], -1) / np.float64(scale)
    spread = pixels.std(axis=1)
    statistics = {
        "mean": pixels.mean(axis=1).tolist(),
        "std": np.where(spread > 0, spread, 1).tolist(),
    }
    return replace(data, train=train, card={**data.card, **statistics})
