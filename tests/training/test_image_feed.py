"""Images on the device, sent ahead or read where they lie: the same batches, one wait an epoch."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_study import small_data
from test_switches import config_of
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.dataset import Split
from pipeline.training import devices, image_feed, loop
from pipeline.training.image_feed import SHARE, ImageFeed, on_device
from pipeline.training.inference import logits_of, to_pixels
from pipeline.training.loop import train

PLACES: dict[str, dict[str, Any]] = {
    "where they lie": {},
    "on the device": {"room": 1e9},
    "ahead": {"ahead": True},
    "on the device, ahead": {"room": 1e9, "ahead": True},
}
KINDS = ["float32", "uint8", "mapped"]


def split_of(kind: str, folder: Path) -> Split:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (11, 3, 4, 4)).astype("float32" if kind == "float32" else "u1")
    if kind == "mapped":
        np.save(folder / "images.npy", images)
        images = np.load(folder / "images.npy", mmap_mode="r")
    return Split(images, np.arange(11) % 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_batches_are_the_same_wherever_images_lie(place: str, kind: str, tmp_path: Path) -> None:
    split = split_of(kind, tmp_path)
    batches = [np.array([3, 3, 1]), np.array([10]), np.array([0, 5, 7, 2])]
    feed = ImageFeed(split, "cpu", **PLACES[place])
    assert (feed.images is None) is ("device" not in place)
    found = list(feed.loaded(iter(batches)))
    for (images, labels), batch in zip(found, batches, strict=True):
        assert images.dtype == torch.from_numpy(np.array(split.images)).dtype
        np.testing.assert_array_equal(images.numpy(), split.images[batch])
        np.testing.assert_array_equal(labels.numpy(), split.labels[batch])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("augment", ["none", "turn_mirror"])
def test_a_training_is_the_same_wherever_images_lie(
    place: str, augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(augment=augment)
    before = train(config, small_data())

    def feed(split: Split, device: Any) -> ImageFeed:
        return ImageFeed(split, device, **PLACES[place])

    monkeypatch.setattr("pipeline.training.epoch.ImageFeed", feed)
    monkeypatch.setattr(loop, "on_device", lambda images, device: on_device(images, device, 1e9))
    after = train(config, small_data())
    timed = {"seconds", "training_seconds"}
    for one, other in zip(before.epochs, after.epochs, strict=True):
        assert {k: one[k] for k in one if k not in timed} == {
            k: other[k] for k in other if k not in timed
        }
    for key, tensor in before.model.state_dict().items():
        assert torch.equal(tensor, after.model.state_dict()[key])


def test_images_go_to_a_device_that_has_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((10, 1, 4, 4), dtype=np.uint8)
    assert on_device(images, "cpu") is None  # where they are in memory already
    for free, there in ((160 / SHARE, True), (160 / SHARE - 1, False)):
        monkeypatch.setattr(image_feed, "free_bytes", lambda device, free=free: free)
        assert (on_device(images, "cpu") is not None) is there


def test_the_next_batch_is_read_while_the_last_is_trained_on() -> None:
    split = small_data().train
    feed, read = ImageFeed(split, "cpu", ahead=True), threading.Event()
    load = feed.load

    def noted(batch: np.ndarray) -> Any:
        if batch[0] == 1:
            read.set()
        return load(batch)

    feed.load = noted  # type: ignore[method-assign]
    batches = feed.loaded(iter([np.array([0]), np.array([1])]))
    next(batches)
    assert read.wait(10)


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_of_reading_is_raised_where_the_batch_is_used(ahead: bool) -> None:
    feed = ImageFeed(small_data().train, "cpu", ahead=ahead)
    batches = feed.loaded(iter([np.array([0]), np.array([99])]))
    next(batches)
    with pytest.raises(IndexError):
        next(batches)


class Waits(TorchDispatchMode):
    """Counts operations that give Python a value of a tensor, or a shape that depends on one."""

    # Not `equal`: kernels are kept, and compared, on the CPU alone.
    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in func.__name__ for name in self.NAMES):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("augment", ["none", "quarter", "turn", "turn_mirror"])
@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_steps_and_evaluation_wait_for_no_value(
    augment: str, ema: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[list[str]] = []
    waits = Waits()

    def to_host(*tensors: Any) -> Any:
        counted.append(list(waits.found))
        waits.found.clear()
        return devices.to_host(*tensors)

    monkeypatch.setattr(loop, "to_host", to_host)
    light = {"light_crop": 0.1, "light_shift": 1, "light_colour": 0.2}
    config = config_of(augment=augment, ema=ema, class_weights="balanced", **light)
    with torch.random.fork_rng():
        training = loop._Training(config, small_data(), "cpu")
        with waits:
            for _ in range(2):
                training.run_epoch()
                waits.found.clear()  # of the scores, on the host
    assert counted == [[], []]


def test_tensors_come_to_the_host_in_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [torch.tensor(3.0), torch.arange(6.0).view(2, 3), torch.zeros(0, 4)]
    assert all(one is two for one, two in zip(devices.to_host(*tensors), tensors, strict=True))
    there = [tensor.to("meta") for tensor in tensors]
    copies = []
    monkeypatch.setattr(
        torch.Tensor,
        "cpu",
        lambda self: copies.append(self) or torch.cat([x.flatten() for x in tensors]),
    )
    found = devices.to_host(*there)
    assert len(copies) == 1
    for one, two in zip(found, tensors, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_images_as_they_are_stored(kind: str, tmp_path: Path) -> None:
    images = split_of(kind, tmp_path).images
    scale = 1 if kind == "float32" else 255
    wanted = torch.from_numpy(np.array(images)).float() / scale
    for given in (images, torch.from_numpy(np.array(images))):
        assert torch.equal(to_pixels(given), wanted)


def test_logits_of_images_on_the_device_are_those_of_images_on_the_host() -> None:
    data = small_data()
    model = train(config_of(), data).model
    there = on_device(data.validation.images, "cpu", 1e9)
    assert there is not None
    assert torch.equal(logits_of(model, there, 5), logits_of(model, data.validation.images, 5))


def test_labels_stay_those_of_the_split() -> None:
    data = small_data()
    rare = replace(data.train, labels=np.full(16, 7))
    assert ImageFeed(rare, "cpu").load(np.array([2, 4]))[1].tolist() == [7, 7]
