"""What measuring a run costs compared with training it: the table of docs/report.md.

``OMP_NUM_THREADS=1 python benchmarks/measuring.py``: runs of the study that `params.yaml` states
(its epochs, angles and layer images), on its prepared data, one seed a cell, processor seconds of
training and of all of `pipeline.confirm.measures`, and the memory that each adds to the process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from gsa_core import build_model
from pipeline.confirm.measures.measure import Measures, TestSplits, measure
from pipeline.dataset import load_dataset
from pipeline.search.space import configuration
from pipeline.study.cells import Cell, cells
from pipeline.study.params import load_params
from pipeline.training.devices import peak_memory, reset_peak_memory
from pipeline.training.loop import model_arguments, train


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, processor seconds and the most MiB held meanwhile."""
    reset_peak_memory("cpu")
    start = time.process_time()
    result = function()
    return result, time.process_time() - start, peak_memory("cpu") / 2**20


def main() -> None:
    """Print a row a cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/prepare"))
    parser.add_argument("--cells", nargs="*", help="names of cells; default: all")
    options = parser.parse_args()
    params = load_params()
    name = params.prepare.datasets[0]
    data = load_dataset(options.data / name, ("train", "validation", "test", "test_turned"))
    chosen = [c for c in cells(params, name) if not options.cells or c.name in options.cells]

    def measured(cell: Cell, model: nn.Module) -> Measures:
        test = TestSplits(data.test, data.test_turned)
        asked = params.confirm
        return measure(model, test, group=cell.group, angles=asked.angles,
                       layer_images=asked.layer_images, measured_images=asked.measured_images,
                       features=True)[0]  # fmt: skip

    print(f"{name}: {len(data.train)} training images, {len(data.test)} test images, "
          f"{params.sweep.epochs} epochs, {params.confirm.angles} angles\n")  # fmt: skip
    print("| cell | training | measuring | share | peak, training | peak, measuring |")
    print("|---|---|---|---|---|---|")
    spent = [0.0, 0.0]
    for cell in chosen:
        config = configuration(cell, {}, params, data)
        if cell is chosen[0]:  # imports and first calls, once a worker
            measured(cell, build_model(**model_arguments(config, data)).eval())
        outcome, training, held = timed(partial(train, config, data))
        _, measuring, most = timed(partial(measured, cell, outcome.model))
        spent = [spent[0] + training, spent[1] + measuring]
        print(f"| {cell.name} | {training:.2f} s | {measuring:.2f} s | {measuring / training:.0%} "
              f"| {held:.0f} MiB | {most:.0f} MiB |", flush=True)  # fmt: skip
    print(f"\nAll: training {spent[0]:.1f} s, measuring {spent[1]:.1f} s, "
          f"{spent[1] / spent[0]:.0%} of it")  # fmt: skip


if __name__ == "__main__":
    main()
