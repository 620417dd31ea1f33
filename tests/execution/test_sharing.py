"""Data on their way to workers: mapped where the files are, a copy only where they are not."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from images import fill, own

from pipeline.common.errors import UserError
from pipeline.dataset import Dataset, load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.execution.shared_data import open_shared, share
from pipeline.prepare.stage import prepare_all


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    prepare_all(own(fill(tmp_path / "pets"), size=32), tmp_path / "prepare")
    return load_dataset(tmp_path / "prepare/mine", SPLITS)


def never(reference: object) -> Dataset:
    raise AssertionError("a worker that can read the files must not fetch a copy of them")


def travelled(data: Dataset, **options: object) -> dict[str, object]:
    """What a worker is given, as Ray sends it."""
    return pickle.loads(pickle.dumps(share({"mine": data, "other": [1]}, **options)))


def test_a_worker_maps_the_files_it_can_read(dataset: Dataset) -> None:
    sent = travelled(dataset)
    assert len(pickle.dumps(sent)) < 10_000 < dataset.train.images.nbytes
    found = open_shared(sent, never)
    assert found["other"] == [1]
    for split in SPLITS:
        images = getattr(found["mine"], split).images
        assert isinstance(images, np.memmap) and not images.flags.writeable
        np.testing.assert_array_equal(images, getattr(dataset, split).images)
    assert open_shared(sent, never)["mine"] is found["mine"]  # mapped once a process


def test_only_the_splits_that_were_opened_are_opened_again(dataset: Dataset) -> None:
    hidden = replace(dataset, test=None, test_turned=None)
    found = open_shared(share({"mine": hidden}), never)["mine"]
    assert found.test is None and found.test_turned is None


@pytest.mark.parametrize("change", ["moved", "other card", "cut"])
def test_a_worker_without_the_files_is_sent_one_copy(change: str, dataset: Dataset) -> None:
    store: list[Dataset] = []

    def put(value: Dataset) -> tuple[int, ...]:
        store.append(value)
        return (0,)

    sent = share({"mine": dataset}, put)
    kept = np.array(dataset.test.images)
    # What Ray puts aside serialises without a copy: every array is a buffer of its own.
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(store[0], protocol=5, buffer_callback=buffers.append)
    assert len(head) < 10_000 and len(buffers) == 2 * len(SPLITS)
    folder = dataset.folder
    assert folder is not None
    if change == "moved":
        folder.rename(folder.with_name("elsewhere"))
    elif change == "cut":
        (folder / "train_labels.npy").write_bytes(b"")
    else:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, "seed": 99}))
    found = open_shared(sent, store.__getitem__)["mine"]
    np.testing.assert_array_equal(found.test.images, kept)
    with pytest.raises(UserError, match=str(folder)):
        open_shared(share({"mine": dataset}), never)
