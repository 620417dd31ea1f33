"""Precision, compilation and CUDA graphs: the same loss, the same bits after an interruption."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_study
import pytest
import torch
from fake_study import small_data
from recorded import recorded

from gsa_core import build_model
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.training import epoch, loop
from pipeline.training.cost import image_seconds
from pipeline.training.cuda_graph import CapturedGradients
from pipeline.training.gradients import Gradients
from pipeline.training.inference import logits_of
from pipeline.training.loop import model_arguments, train
from pipeline.training.training_state import TrainingState

ATTENTION = Cell("gsa", "C4", "relative", 1, "stem")
STAGED = Cell("staged", "C4", "relative", 1, "trunk")  # has batch norm
PLAIN = Cell("vit", "C1", "absolute", 1, "patch")
CELLS = [ATTENTION, STAGED, PLAIN]
# Of a switch: how far the losses of a training may be from those without it, relative.
SWITCHES: dict[str, tuple[dict[str, Any], float]] = {
    "tf32": ({"precision": "tf32"}, 0.0),  # of GPUs alone
    "bf16": ({"precision": "bf16"}, 0.05),
    "graph": ({"cuda_graph": True}, 0.0),
    "graph, bf16": ({"cuda_graph": True, "precision": "bf16"}, 0.05),
}
RANDOM = {"dropout": 0.3, "head_dropout": 0.3, "drop_path": 0.3, "augment": "turn"}


def config_of(cell: Cell = ATTENTION, **changes: Any) -> dict[str, Any]:
    params = fake_study.study(epochs=2, batch_size=5, model=[cell.model])
    config = configuration(cell, {"learning_rate": 0.01, "channels": 4}, params, small_data())
    return {**config, **changes}


@pytest.fixture(autouse=True)
def graphs_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients(model: Any, config: dict[str, Any], weights: Any) -> Any:
        plain = Gradients(model, config, weights)
        return CapturedGradients(plain, model, recorded) if config.get("cuda_graph") else plain

    monkeypatch.setattr(epoch, "gradients_of", gradients)


def losses(outcome: loop.Outcome) -> list[float]:
    return [row[name] for row in outcome.epochs for name in ("train_loss", "validation_loss")]


def resumed_each_epoch(config: dict[str, Any]) -> tuple[loop.Outcome, list[loop.Outcome]]:
    """A training, and it resumed from each of its states but the last."""
    states: list[bytes] = []
    whole = train(config, small_data(), on_state=lambda make: states.append(make().to_bytes()))
    torch.manual_seed(7)  # another process
    again = [
        train(config, small_data(), resume=TrainingState.from_bytes(state)) for state in states[:-1]
    ]
    return whole, again


def assert_same_weights(one: loop.Outcome, other: loop.Outcome) -> None:
    for key, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[key]), key


CASES = [
    *((name, cell, RANDOM) for name in SWITCHES for cell in CELLS),
    *(("graph", cell, {}) for cell in CELLS),
]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("name", "cell", "changes"), CASES)
def test_a_switch_keeps_the_loss_and_resumes_to_the_last_bit(
    name: str, cell: Cell, changes: dict[str, Any]
) -> None:
    options, tolerance = SWITCHES[name]
    changes = {key: value for key, value in changes.items() if config_of(cell)[key] is not None}
    plain = train(config_of(cell, **changes), small_data())
    whole, [again] = resumed_each_epoch(config_of(cell, **changes, **options))
    assert losses(whole) == pytest.approx(losses(plain), rel=tolerance, abs=0)
    assert (losses(whole) != losses(plain)) is (options.get("precision") == "bf16")
    assert losses(again) == losses(whole)
    assert_same_weights(again, whole)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_a_graph_adds_up_micro_batches_of_weighted_classes(
    parts: int, weights: str, ema: float
) -> None:
    changes = {"batch_parts": parts, "class_weights": weights, "ema": ema, "label_smoothing": 0.1}
    plain = train(config_of(STAGED, **changes), small_data())
    graph = train(config_of(STAGED, cuda_graph=True, **changes), small_data())
    assert losses(graph) == losses(plain)
    assert_same_weights(graph, plain)
    assert (plain.row["execution"], graph.row["execution"]) == ("eager", "cuda_graph")


def test_a_capture_that_fails_leaves_the_training_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(run: Callable[[], None]) -> Callable[[], None]:
        run()
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    def gradients(model: Any, config: dict[str, Any], weights: Any) -> Any:
        return CapturedGradients(Gradients(model, config, weights), model, fails)

    config = config_of(STAGED, head_dropout=0.3)
    plain = train(config, small_data())
    monkeypatch.setattr(epoch, "gradients_of", gradients)
    with pytest.warns(UserWarning, match=r"no CUDA graph \(RuntimeError: operation not permitted"):
        eager = train(config, small_data())
    assert losses(eager) == losses(plain)
    assert_same_weights(eager, plain)
    assert eager.row["execution"] == "eager"


def test_parameters_without_gradients_have_none_in_a_graph() -> None:
    model = build_model(**model_arguments(config_of(), small_data()))
    unused = torch.nn.Parameter(torch.ones(3))
    model.register_parameter("unused", unused)
    gradients = CapturedGradients(Gradients(model, config_of(), None), model, recorded)
    gradients(torch.rand(2, 1, 8, 8), torch.tensor([0, 1]), 1.0)
    assert unused.grad is None
    assert all(p.grad is not None for p in model.parameters() if p is not unused)


def test_a_study_that_compiles_has_its_steps_compiled_for_each_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[tuple[torch.nn.Module, tuple[int, ...]]] = []
    resets: list[int] = []

    def compile_model(model: torch.nn.Module, dynamic: bool) -> Callable[[Any], Any]:
        assert not dynamic

        def called(images: torch.Tensor) -> torch.Tensor:
            compiled.append((model, tuple(images.shape)))
            return model(images)

        return called

    monkeypatch.setattr(torch, "compile", compile_model)
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    plain = train(config_of(), small_data())
    assert not compiled and not resets
    whole, [again] = resumed_each_epoch(config_of(compile=True))
    assert losses(whole) == losses(again) == losses(plain)
    assert whole.row["execution"] == "compiled"
    assert len(resets) == 2  # torch compiles a class for few of its networks otherwise
    # Steps alone, and of the network that is kept.
    assert [shape[0] for _, shape in compiled] == [5, 5, 5, 1] * 3
    assert [key for key in whole.model.state_dict() if "orig_mod" in key] == []


@pytest.mark.deep
def test_compiled_steps_have_the_same_loss() -> None:
    """By torch's compiler, in a process whose shapes are not checked while it traces."""
    helpers = [str(Path(__file__).parent), str(Path(recorded.__code__.co_filename).parent)]
    code = (
        "from test_switches import *\n"
        "batch = {'batch_size': 8}\n"
        "plain = losses(train(config_of(**batch), small_data()))\n"
        "whole, [again] = resumed_each_epoch(config_of(compile=True, **batch))\n"
        "assert losses(whole) == pytest.approx(plain, rel=1e-4)\n"
        "assert losses(again) == losses(whole)\n"
        "assert_same_weights(again, whole)\n"
    )
    paths = os.pathsep.join([*helpers, str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_steps_alone_are_in_reduced_precision(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, products.allow_tf32)
    seen: dict[bool, set[tuple[bool, bool, bool]]] = {True: set(), False: set()}

    def note(model: torch.nn.Module, *_: Any) -> None:
        found = (cudnn.allow_tf32, products.allow_tf32, torch.is_autocast_enabled("cpu"))
        seen[model.training].add(found)

    built = build_model

    def build(**arguments: Any) -> torch.nn.Module:
        model = built(**arguments)
        model.register_forward_hook(note)
        return model

    monkeypatch.setattr(loop, "build_model", build)
    monkeypatch.setattr(loop, "count_flops", lambda *_: 1)
    outcome = train(config_of(precision=precision), small_data())
    logits_of(outcome.model, small_data().train.images)
    tf32 = precision == "tf32"
    assert seen == {True: {(tf32, tf32, precision == "bf16")}, False: {(False, False, False)}}
    assert (cudnn.allow_tf32, products.allow_tf32) == before
    assert outcome.row["precision"] == precision
    assert all(x.dtype is torch.float32 for x in outcome.model.parameters())


def test_rows_have_images_a_second_and_how_steps_ran() -> None:
    row = train(config_of(), small_data()).row
    images = 2 * 16
    assert row["training_images_per_second"] == pytest.approx(images / row["training_seconds"])
    assert (row["precision"], row["execution"]) == ("fp32", "eager")


def test_what_is_off_is_not_in_a_configuration() -> None:
    assert not {"precision", "compile", "cuda_graph"} & config_of().keys()
    params = fake_study.study(precision="bf16", compile=True, cuda_graph=True)
    config = configuration(ATTENTION, {"channels": 4}, params, small_data())
    assert (config["precision"], config["compile"], config["cuda_graph"]) == ("bf16", True, True)


def test_the_time_of_a_step_is_that_of_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    real = Gradients.__call__

    def note(self: Gradients, *arguments: Any) -> Any:
        seen.add(self.precision)
        return real(self, *arguments)

    monkeypatch.setattr(Gradients, "__call__", note)
    image_seconds(config_of(precision="bf16"), small_data())
    assert seen == {"bf16"}
