"""Hours of one H100: kept measurements, put in proportion, and said to be an estimate."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_study
import pytest
import torch
from fake_study import small_data
from gpu_modules import benchmark_modules

from gsa_core import count_flops
from pipeline.study.cells import cells
from pipeline.study.schema import Params
from pipeline.tools.support.forecast import first_configuration
from pipeline.tools.support.gpu_hours import MEASURED, cell_seconds, sentence
from pipeline.training.cost import image_flops

KEPT = Path(__file__).parents[2] / "benchmarks/measured/h100/4-models.json"


@pytest.fixture(scope="module")
def modules() -> Iterator[Namespace]:
    yield from benchmark_modules()


def kept(model: str, way: str, batch: int, which: str) -> dict[str, Any]:
    [row] = [
        row
        for row in json.loads(KEPT.read_text())["rows"]
        if row["model"] == model and row["way"] == way and row["batch"] == batch
        if row["dtype"] == "float32" and row["budget"] == 45_000
        if row["pass"] == which and row.get("ms")
    ]
    return row


@pytest.mark.parametrize("model", MEASURED)
def test_rates_are_those_that_were_kept(model: str) -> None:
    rate = MEASURED[model]
    assert rate.step_ms == pytest.approx(kept(model, "eager", 64, "training")["ms"], abs=0.005)
    assert rate.pass_ms == pytest.approx(kept(model, "eager", 64, "evaluation")["ms"], abs=0.005)
    graph = {name: kept(model, "graph", 1024, name) for name in ("training", "evaluation")}
    assert rate.trained == pytest.approx(graph["training"]["images_s"], abs=0.5)
    assert rate.evaluated == pytest.approx(graph["evaluation"]["images_s"], abs=0.5)


@pytest.mark.parametrize("model", ["vit", "gcnn"])
def test_operations_are_those_of_the_networks_that_were_measured(
    model: str, modules: Namespace
) -> None:
    network = modules.gpu_networks.Case(model).build(torch.device("cpu"))
    assert MEASURED[model].flops == count_flops(network, (1, 28, 28))
    assert MEASURED[model].depth == modules.gpu_networks.NETWORKS[model]["depth"]


def study(**section: Any) -> Params:
    return fake_study.study(**{"group": ["C1"], **section})


@pytest.mark.parametrize("graph", [False, True])
def test_seconds_are_counted_as_written_out(graph: bool) -> None:
    params, data = study(cuda_graph=graph), small_data()
    [cell] = cells(params)
    flops = image_flops(first_configuration(params, data, cell), data)
    work = 8 * flops / (39_656_240 * 54_598)
    step = work if graph else 14.26e-3 * 1 / 2  # one block: half of the launches of two
    validation = 7.43e-3 / 2
    training = 2 * (2 * step + validation)  # epochs of two steps
    total = cell_seconds(params, data, cell)
    assert total is not None
    trials, runs = 4, 2
    measuring = (total - (trials + runs) * training) / runs
    passes = measuring / validation  # of 256 images each: few, and whole
    assert passes == pytest.approx(round(passes)) and 1 <= round(passes) <= 20


def test_large_images_take_as_long_as_their_operations() -> None:
    rate = MEASURED["gsa"]
    large = 100 * rate.flops
    assert rate.train_seconds(large, 2, 64, False) == pytest.approx(64 * 100 / 54_598)
    assert rate.train_seconds(large, 2, 64, True) == rate.train_seconds(large, 2, 64, False)
    assert rate.evaluate_seconds(large, 2, 1000) == pytest.approx(1000 * 100 / 180_721)
    assert math.isclose(rate.evaluate_seconds(1, 4, 257), 2 * 2 * 7.43e-3)


def test_the_sentence_says_that_it_is_an_estimate_and_what_it_leaves_out() -> None:
    other = {"group": ["C4"], "positional": ["absolute"]}
    said = sentence(study(model=["gsa", "symmetrized"], **other), [small_data()])
    assert said.startswith("one H100: about ") and "an estimate" in said
    assert "without 1 of 2 cells" in said
    none = sentence(study(model=["symmetrized"], **other), [small_data()])
    assert none == "one H100: no estimate; it needs networks that were measured on one, and epochs"


def test_epochs_that_seconds_decide_have_no_estimate() -> None:
    params = study(match={"of": "seconds", "at": 60, "parameters": 5000}, epochs=None)
    assert sentence(params, [small_data()]).startswith("one H100: no estimate")
