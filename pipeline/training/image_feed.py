"""Training images on their way to the device: all of them there once, or each batch ahead of use.

Where images lie changes no number: a batch has the same values in every case.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pipeline.dataset import Split
from pipeline.training.devices import free_bytes, to_device

__all__ = ["ImageFeed", "on_device"]

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
