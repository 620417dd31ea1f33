"""Training images on their way to the device: all of them there once, or each batch ahead of use.

Where images lie changes no number: a batch has the same values in every case. Training on fewer
images takes the first of a fixed stratified order of the training split.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.dataset import Dataset, Split
from pipeline.training.devices import free_bytes, to_device

__all__ = ["ImageFeed", "fewer_images", "on_device", "stratified_order"]

Batch = tuple[Tensor, Tensor]
# Of the free memory of a GPU, what images may take: several trials may share it, and each of them
# needs more for its network.
SHARE = 0.25


def on_device(
    images: np.ndarray, device: torch.device | str, room: float | None = None
) -> Tensor | None:
    """Return images as they are stored, on a GPU that has room for them; else None.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, uint8 or float32, perhaps a mapped file.
    device
        Of the training. On a CPU images are read where they lie.
    room
        Bytes that they may take, by default a quarter of what is free.
    """
    room = SHARE * free_bytes(device) if room is None else room
    if images.nbytes > room:
        return None
    return to_device(torch.from_numpy(np.array(images)), device)


class ImageFeed:
    """Images and labels of batches, given by their numbers.

    Parameters
    ----------
    split
        Where they are from.
    device
        Of the training.
    room
        As of `on_device`.
    ahead
        Whether the next batch is read while the last is trained on, by default where images have
        to be sent to a GPU.
    """

    def __init__(
        self,
        split: Split,
        device: torch.device | str,
        room: float | None = None,
        ahead: bool | None = None,
    ) -> None:
        self.device, self.split = torch.device(device), split
        self.images = on_device(split.images, device, room)
        self.labels = to_device(torch.from_numpy(np.array(split.labels)), device)
        is_sent = self.images is None and self.device.type != "cpu"
        self.ahead = is_sent if ahead is None else ahead

    def load(self, batch: np.ndarray) -> Batch:
        """Return the images, as they are stored, and labels of these numbers."""
        index = torch.from_numpy(batch)
        if self.images is None:
            images = to_device(torch.from_numpy(np.array(self.split.images[batch])), self.device)
            return images, self.labels[to_device(index, self.device)]
        index = to_device(index, self.device)
        return self.images[index], self.labels[index]

    def loaded(self, batches: Iterator[np.ndarray]) -> Iterator[Batch]:
        """Yield the images and labels of each batch, in their order."""
        if not self.ahead:
            yield from map(self.load, batches)
            return
        before: Future[Batch] | None = None
        with ThreadPoolExecutor(1) as pool:
            for batch in batches:
                following = pool.submit(self.load, batch)
                if before is not None:
                    yield before.result()
                before = following
            if before is not None:
                yield before.result()


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
