"""Hours of one H100 that a study takes: an estimate from kept measurements of smaller networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.common.units import duration
from pipeline.confirm.keep import measured_images
from pipeline.confirm.measures.movements import passes as test_passes
from pipeline.dataset import Dataset
from pipeline.study.budgets import epoch_images, validation_passes
from pipeline.study.cells import Cell, cells, seeds_of
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.tools.support.forecast import first_configuration
from pipeline.training.cost import image_flops
from pipeline.training.inference import INFERENCE_BATCH
from pipeline.training.penalty import passes

__all__ = ["MEASURED", "Rate", "cell_seconds", "sentence"]


@dataclass(frozen=True)
class Rate:
    """How fast an H100 is with a network of 45,000 parameters on 28x28 pixels, in float32.

    Attributes
    ----------
    depth, flops
        Of the network that was measured: its blocks, and the forward pass of one image.
    step_ms, pass_ms
        Milliseconds of an eager training step and of a forward pass of 64 images: of launches.
    trained, evaluated
        Images a second in batches of 1,024, launched as CUDA graphs: of arithmetic and memory.
    """

    depth: int
    flops: int
    step_ms: float
    pass_ms: float
    trained: float
    evaluated: float

    def train_seconds(self, flops: float, depth: int, batch: int, graph: bool) -> float:
        """Return the seconds of a training step."""
        work = batch * flops / (self.flops * self.trained)
        return work if graph else max(work, self.step_ms / 1000 * depth / self.depth)

    def evaluate_seconds(self, flops: float, depth: int, images: int) -> float:
        """Return the seconds of forward passes of so many images."""
        launches = math.ceil(images / INFERENCE_BATCH) * self.pass_ms / 1000 * depth / self.depth
        return max(images * flops / (self.flops * self.evaluated), launches)


# Rows of benchmarks/measured/h100/4-models.json, of networks of benchmarks/gpu_networks.py.
MEASURED = {
    "staged": Rate(2, 36_987_920, 20.39, 7.70, 56_248, 158_895),
    "gsa": Rate(2, 39_656_240, 14.26, 7.43, 54_598, 180_721),
    "hybrid": Rate(2, 39_656_240, 15.25, 7.21, 53_220, 173_247),
    "gcnn": Rate(3, 38_121_520, 7.94, 2.12, 71_060, 320_336),
    "vit": Rate(4, 5_522_832, 15.27, 4.38, 152_007, 429_195),
}


def cell_seconds(params: Params, data: Dataset, cell: Cell) -> float | None:
    """Return the seconds of a cell's trials and runs, one after the other; None where that
    is not known: of other networks, and where measured seconds decide the epochs.
    """
    rate, match = MEASURED.get(cell.model), params.sweep.match
    if rate is None or (match is not None and match.of == "seconds"):
        return None
    config = first_configuration(params, data, cell)
    flops, depth = image_flops(config, data), cell.depth
    batch = config["batch_size"]
    steps = math.ceil(epoch_images(config, len(data.train)) / batch)
    graph = bool(config.get("cuda_graph"))
    step = passes(config) * rate.train_seconds(flops, depth, batch, graph)
    validated = validation_passes(config) * len(data.validation)
    epoch = steps * step + rate.evaluate_seconds(flops, depth, validated)
    tested = test_passes(
        int(data.card["counts"]["test"]["total"]),
        measured_images(params, data.card),
        params.confirm.angles,
    )
    trials = params.sweep.trials_per_cell if cell in searched(params, data.name) else 0
    runs = len(seeds_of(params, data.name, cell))
    measuring = rate.evaluate_seconds(flops, depth, tested)
    searching = trials * params.sweep.trial_epochs * epoch
    return searching + runs * ((params.sweep.epochs or 1) * epoch + measuring)


def sentence(params: Params, datasets: Iterable[Dataset]) -> str:
    """Say how long all trials and runs take on one H100, and what that is worth."""
    found = {
        (data.name, cell): cell_seconds(params, data, cell)
        for data in datasets
        for cell in cells(params, data.name)
    }
    known = [seconds for seconds in found.values() if seconds is not None]
    if not known:
        return "one H100: no estimate; it needs networks that were measured on one, and epochs"
    rest = len(found) - len(known)
    without = f", without {rest} of {len(found)} cells, which have none" if rest else ""
    return (
        f"one H100: about {duration(sum(known))}, one trial at a time{without}; an estimate from "
        "images/s of networks of 45,000 parameters on 28x28 pixels, put in proportion by FLOPs "
        "(docs/gpu.md)"
    )
