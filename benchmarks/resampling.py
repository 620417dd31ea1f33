"""What resampling alone costs a trained network, apart from turning.

Test images are turned, and turned and turned back: the latter ends upright, but every pixel is
resampled twice. Reads the confirmed weights of a study; run `make study` first. Prints the table of
docs/report.md.

    python benchmarks/resampling.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from gsa_core import load, rotate_image
from pipeline.dataset import load_dataset
from pipeline.study.params import load_params
from pipeline.training.inference import logits_of, to_pixels

FINER = 8  # times as many pixels a side
Turn = Callable[[Tensor, float], Tensor]


def finely(mode: str) -> Turn:
    """Turn an enlarged image, then average it down again."""

    def turn(images: Tensor, degrees: float) -> Tensor:
        enlarged = functional.interpolate(images, scale_factor=FINER, mode=mode)
        return functional.avg_pool2d(rotate_image(enlarged, degrees), FINER)

    return turn


WAYS: dict[str, Turn] = {
    "bilinear": rotate_image,
    f"enlarged {FINER} times, nearest": finely("nearest"),
    f"enlarged {FINER} times, bicubic": finely("bicubic"),
}


def confirmed(weights: Path) -> nn.Module:
    """The network of a confirmed run."""
    return load(weights)


def main() -> None:
    """Print mean accuracies over the seeds of one cell of every group."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    name = params.prepare.datasets[0]
    test = load_dataset(Path("data/prepare") / name, splits=("train", "validation", "test")).test
    assert test is not None
    images, labels = to_pixels(test.images), torch.from_numpy(test.labels.copy())
    print("| group | turned | upright | by 15° | there and back, 15° | there and back, 45° |")
    print("|---|---|---|---|---|---|")
    for group in params.sweep.group:
        cell = f"{params.sweep.model[0]}-{group}-absolute-d{params.sweep.depth[0]}"
        paths = sorted(Path("data/confirm", name, "weights").glob(f"{cell}-*.safetensors"))
        models = [confirmed(path) for path in paths]
        for way, turn in WAYS.items():
            tried = (turn(images, 0), turn(images, 15), turn(turn(images, 15), -15),
                     turn(turn(images, 45), -45))  # fmt: skip
            means = [
                sum((logits_of(m, x).argmax(1) == labels).double().mean().item() for m in models)
                / len(models)
                for x in tried
            ]
            print(f"| {group} | {way} |", " | ".join(f"{100 * mean:.1f} %" for mean in means), "|")


if __name__ == "__main__":
    main()
