"""How much memory of its own a worker takes for data: ``python benchmarks/sharing.py``.

Generates a prepared data set (1.1 GB with the default ``--images``), starts 2 and then 8 workers of
a local Ray, and lets each read every image in batches, as training does, while all hold the data.
Once the workers can read the files, and once they cannot, as on another node of a cluster.
"Own" is the growth of the worker's anonymous memory; "reads" are the pages of the data that it has
mapped; "share" divides each page by the number of processes that map it.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray

from pipeline.common.files import file_sha256
from pipeline.dataset import Dataset, load_dataset
from pipeline.dataset.store import CARD_FORMAT
from pipeline.execution.shared_data import open_shared, share

SHAPE, BATCH = (3, 96, 96), 64


def generated(folder: Path, images: int) -> Dataset:
    """Write arrays and a card as `prepare` does."""
    folder.mkdir()
    random = np.random.default_rng(0)
    counts = {"train": images, "validation": 64}
    for split, count in counts.items():
        file = folder / f"{split}_images.npy"
        array = np.lib.format.open_memmap(file, "w+", np.uint8, (count, *SHAPE))
        for start in range(0, count, 1024):
            some = array[start : start + 1024]
            some[:] = random.integers(0, 256, some.shape, dtype=np.uint8)
        np.save(folder / f"{split}_labels.npy", np.arange(count) % 2)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in folder.iterdir()
    }
    card = {
        "format": CARD_FORMAT, "name": "generated", "classes": 2, "dtype": "uint8",
        "image_shape": SHAPE, "files": files,
        "counts": {split: {"total": count} for split, count in counts.items()},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return load_dataset(folder)


@ray.remote(num_cpus=1)
class Worker:
    """A process that is given the data as workers of a study are."""

    def __init__(self, handed: list[Any]) -> None:
        self.handed = handed
        self.read_through(np.zeros((4 * BATCH, *SHAPE), dtype=np.uint8))  # what the code needs
        self.before = anonymous()

    def read_through(self, images: np.ndarray) -> None:
        """Read every image once, as training does."""
        from pipeline.training.inference import to_pixels

        order = np.random.default_rng(0).permutation(len(images))
        for place in range(0, len(order), BATCH):
            to_pixels(images[order[place : place + BATCH]])

    def read(self) -> float:
        """Open the data and read them; return seconds."""
        start = time.perf_counter()
        self.data = open_shared(ray.get(self.handed[0]), ray.get)["generated"]
        self.read_through(self.data.train.images)
        return time.perf_counter() - start

    def memory(self) -> tuple[int, int, int]:
        """Own, mapped and shared-out bytes, while all workers hold the data."""
        return anonymous() - self.before, *mapped()


def anonymous() -> int:
    """Bytes of this process that no file stands behind."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def mapped() -> tuple[int, int]:
    """Resident bytes of the data's mappings, and this process's share of them."""
    text = Path("/proc/self/smaps").read_text()
    pattern = r"(?:\.npy|plasma|/dev/shm)[^\n]*\n(?:[A-Z]\w+:[^\n]*\n)*"
    data = "".join(match[0] for match in re.finditer(pattern, text))
    rss, pss = (sum(map(int, re.findall(rf"\n{key}:\s+(\d+)", data))) for key in ("Rss", "Pss"))
    return rss << 10, pss << 10


def measure(dataset: Dataset, workers: int, put: Callable[[Any], Any] | None) -> str:
    """Start workers, let all of them read, and say what each holds."""
    handed = [ray.put(share({"generated": dataset}, put))]
    hidden = dataset.folder.with_name("hidden")
    if put:
        dataset.folder.rename(hidden)  # as on a node without the files
    crowd = [Worker.remote(handed) for _ in range(workers)]
    seconds = ray.get([one.read.remote() for one in crowd])
    found = np.array(ray.get([one.memory.remote() for one in crowd])) / 1e6
    for one in crowd:
        ray.kill(one)
    if put:
        hidden.rename(dataset.folder)
    own, reads, part = found.max(0)
    how = "Ray's object store" if put else "mapped files"
    return f"| {how} | {workers} | {own:,.0f} | {reads:,.0f} | {part:,.0f} | {max(seconds):.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--images", type=int, default=40_000, help="of 96x96 pixels, three bytes each"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sharing-") as scratch:
        dataset = generated(Path(scratch) / "generated", options.images)
        size = dataset.train.images.nbytes
        ray.init(
            address="local", num_cpus=8, include_dashboard=False, log_to_driver=False,
            object_store_memory=200_000_000 + 2 * size,
        )  # fmt: skip
        print(f"{platform.machine()}, Python {platform.python_version()}, ray {ray.__version__}")
        print(f"{size / 1e6:,.0f} MB of images; MB of the worker that has most")
        print("| data | workers | own | reads | share | s |\n|---|---|---|---|---|---|", flush=True)
        for put in (None, lambda dataset: (ray.put(dataset),)):
            for workers in (2, 8):
                print(measure(dataset, workers, put), flush=True)


if __name__ == "__main__":
    main()
