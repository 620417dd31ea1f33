"""Time the training loop of `pipeline` on a GPU: precisions, eagerly and by CUDA graphs.

``python benchmarks/gpu_loop.py`` trains `staged` with C8 for three epochs on prepared images of
rotated MNIST, for every batch size, precision and way. The table of docs/gpu.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.recipes import BASELINE
from pipeline.dataset import Dataset, load_dataset
from pipeline.training.devices import use_threads
from pipeline.training.loop import train

WAYS: dict[str, dict[str, Any]] = {"eager": {}, "CUDA graph": {"cuda_graph": True}}


def row(data: Dataset, device: str, changes: dict[str, Any]) -> str:
    """Train once; images/s and seconds of the last epoch, its validation loss, and the peak."""
    config = {**BASELINE, "group": "C8", "epochs": 3, "seed": 1, "ema": 0.995, **changes}
    outcome = train(config, data, device=device)
    before, last = outcome.epochs[-2:]
    rate = len(data.train) / (last["training_seconds"] - before["training_seconds"])
    megabytes = (outcome.row["peak_memory_bytes"] or 0) / 1e6
    found = f"{rate:,.0f} | {last['seconds']:.2f} | {last['validation_loss']:.3f}"
    return f"{found} | {megabytes:,.0f}"


def main() -> None:
    """Print a line for each training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/prepare/rotated-mnist"))
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "tf32", "bf16"])
    asked = parser.parse_args()
    use_threads(1)
    data = load_dataset(asked.data, ("train", "validation"))
    print("| batch | precision | way | images/s | s an epoch | validation loss | peak MB |")
    print("|---:|---|---|---:|---:|---:|---:|")
    for batch in asked.batches:
        for precision in asked.precisions:
            for way, switches in WAYS.items():
                changes = {"batch_size": batch, "precision": precision, **switches}
                found = row(data, asked.device, changes)
                print(f"| {batch} | {precision} | {way} | {found} |", flush=True)


if __name__ == "__main__":
    main()
