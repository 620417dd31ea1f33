"""Steps of the benchmark of a GPU: tensors that stay and graphs change no loss; errors are rows."""

from __future__ import annotations

import argparse

import pytest
import torch
from gpu_modules import benchmark_modules
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from gsa_core import build_model
from gsa_core.common.constants import constants_of

CPU = torch.device("cpu")
STEPS, BATCH = 6, 4


@pytest.fixture(scope="module")
def modules():
    yield from benchmark_modules()


def network():
    torch.manual_seed(0)
    return build_model("staged", image_size=8, channels=4, num_heads=2).double().train()


def data(count=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.arange(count) % 10


def order():
    return torch.randperm(BATCH * STEPS, generator=torch.Generator().manual_seed(1)) % 16


def plain_losses(highest=0.008):
    """In float64, torch's own loop: a new batch, a number as learning rate, a schedule."""
    model, (images, labels) = network(), data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=highest, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, STEPS, pct_start=0.2, cycle_momentum=False
    )
    torch.manual_seed(2)
    losses = []
    for index in order().split(BATCH):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images[index]), labels[index], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def losses_of(step, rates):
    torch.manual_seed(2)
    found = []
    for index, rate in zip(order().split(BATCH), rates, strict=True):
        step.total.zero_()
        step(index, rate)
        found.append(step.total.item())
    return found


def made(modules, **options):
    return modules.gpu_training.TrainingStep(network(), *data(), BATCH, **options)


def one_cycle(modules, highest=0.008):
    return modules.gpu_digits.one_cycle(highest, STEPS)


def test_losses_are_those_of_a_plain_loop(modules):
    found = losses_of(made(modules), one_cycle(modules))
    assert found == pytest.approx(plain_losses(), rel=1e-6)


@pytest.mark.parametrize("change", ["rate", "order", "weight_decay"])
def test_control_another_recipe_has_other_losses(change, modules):
    rates = one_cycle(modules)
    if change == "rate":
        rates = rates.flip(0)
    step = made(modules, weight_decay=2.0 if change == "weight_decay" else 0.02)
    if change == "order":
        step.labels = step.labels.flip(0)
    assert losses_of(step, rates) != pytest.approx(plain_losses(), rel=1e-4)


def as_graph(step):
    """What a capture does, without a GPU: steps to warm up, and one more."""
    for _ in range(4):
        step()
    return argparse.Namespace(replay=step)


def no_graph(step):
    as_graph(step)
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize(("capture", "way"), [(as_graph, "graph"), (no_graph, "eager")])
def test_capture_leaves_a_training_where_it_was(capture, way, before, modules, monkeypatch):
    """Weights, statistics, moments and losses: the curve goes on as without it."""
    monkeypatch.setattr(modules.gpu_training, "captured", capture)
    whole, step, rates = made(modules), made(modules), one_cycle(modules)
    for one in (whole, step):
        for rate in rates[:before]:
            torch.manual_seed(3)
            one(torch.arange(BATCH), rate)
    held = [*step.model.parameters(), *step.model.buffers(), *constants_of(step.model)]
    step.capture_graph()
    after = [*step.model.parameters(), *step.model.buffers(), *constants_of(step.model)]
    assert all(x is y for x, y in zip(held, after, strict=True)), "a graph reads where they were"
    said = "RuntimeError: operation not permitted when stream is capturing"
    assert (step.way, step.reason) == (way, said if way == "eager" else "")
    assert torch.equal(step.total, whole.total)
    assert losses_of(step, rates) == losses_of(whole, rates)


class Waits(TorchDispatchMode):
    """Operators whose answer decides what the processor does next: no graph can hold them."""

    words = ("nonzero", "masked_select", "local_scalar_dense", "unique", "aten.equal.")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = args[1] if str(function) == "aten.index.Tensor" else ()
        masked = any(x is not None and x.dtype == torch.bool for x in masks)
        if masked or any(word in str(function) for word in self.words):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


def waits(modules, name, change=None):
    step = modules.gpu_networks.Case(name, 3000, 2, side=8).step(CPU)
    for module in step.model.modules():
        if hasattr(module, "method"):
            module.method = "torch"
    if change is not None:
        step.model.register_forward_hook(change)
    step()
    with Waits() as mode:
        step()
    return mode.found


@pytest.mark.parametrize("name", ["staged", "gsa", "hybrid", "gcnn", "vit"])
def test_no_step_waits_for_a_value(name, modules):
    assert waits(modules, name) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda model, x, y: y * y[y > 0].mean(), "aten.index.Tensor"),
        (lambda model, x, y: y * y.masked_select(y > 0).mean(), "aten.masked_select.default"),
        (lambda model, x, y: y * y.sum().item(), "aten._local_scalar_dense.default"),
    ],
)
def test_control_a_step_that_waits_is_found(change, found, modules):
    assert found in waits(modules, "gcnn", change)


def test_a_cpu_has_no_graph(modules):
    step = made(modules)
    step.capture()
    assert (step.way, step.reason) == ("eager", "no CUDA graph on cpu")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_precision_is_on_within_a_step_alone(precision, modules, monkeypatch):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    step, seen = made(modules, precision=precision), []
    step.model.register_forward_pre_hook(
        lambda *_: seen.append((torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu")))
    )
    step()
    assert seen == [(precision == "tf32", precision == "bfloat16")]
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert step.total.isfinite()


def rows(modules, monkeypatch, **changes):
    for name, value in changes.items():
        monkeypatch.setattr(modules.gpu_models, name, value)
    asked = argparse.Namespace(device=CPU, quick=True)
    return list(modules.gpu_models.models(asked))


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), {"out_of_memory": True}),
        (MemoryError(), {"out_of_memory": True}),
        (KeyError("x"), {"error": "KeyError: 'x'"}),
        (RuntimeError("CUDA error: invalid\nmore"), {"error": "RuntimeError: CUDA error: invalid"}),
    ],
    ids=repr,
)
def test_a_network_that_fails_is_a_row_and_the_next_goes_on(error, found, modules, monkeypatch):
    def fail(case, device, way):
        raise error

    monkeypatch.setattr(modules.gpu_models, "together", lambda *x: iter(()))
    monkeypatch.setitem(modules.gpu_networks.PASSES, "training", fail)
    networks = {name: {"depth": 1} for name in ("gsa", "gcnn")}
    first, second, *_ = rows(modules, monkeypatch, NETWORKS=networks)
    assert found.items() <= first.items()
    assert second["images_s"] > 0


@pytest.mark.parametrize("way", ["eager", "compiled", "graph"])
def test_ways_of_a_network(way, modules, monkeypatch):
    """Without a GPU or a compiler: what each way runs is the network."""
    networks, calls = modules.gpu_networks, []
    monkeypatch.setattr(torch, "compile", lambda model: calls.append("compiled") or model)
    monkeypatch.setattr(networks, "captured", as_graph)
    monkeypatch.setattr(modules.gpu_training, "captured", as_graph)
    step = modules.gpu_training.TrainingStep
    monkeypatch.setattr(step, "capture", step.capture_graph)
    asked = argparse.Namespace(device=CPU, quick=True)
    found = list(
        modules.gpu_models.rates_alone(networks.Case("gcnn", 5000, 2, side=8), asked, [way])
    )
    assert [(row["pass"], row["way"], row["images_s"] > 0) for row in found] == [
        ("training", way, True), ("evaluation", way, True),
    ]  # fmt: skip
    assert calls == (["compiled"] * 2 if way == "compiled" else [])


def test_memory_of_a_row_is_beyond_what_was_held(modules, monkeypatch):
    """As the workspaces that a library keeps for every stream."""
    models, counters = modules.gpu_models, {"memory_allocated": 3e6, "max_memory_allocated": 5e6}
    monkeypatch.setattr(models, "memory_counter", lambda device, which: counters[which])
    monkeypatch.setattr(models, "seconds_a_step", lambda *x: 0.5)
    made = lambda *x: (torch.nn.Linear(1, 1), None)  # noqa: E731
    case = modules.gpu_networks.Case("gsa")
    row = models.rate_of(made, case, torch.device("cuda"), "eager", 0)
    assert (row["peak_mb"], row["images_s"], row["parameters"]) == (2, 128, 2)


def test_graph_that_cannot_be_is_a_row(modules, monkeypatch):
    asked = argparse.Namespace(device=CPU, quick=True)
    case = modules.gpu_networks.Case("gcnn", 5000, 2, side=8)
    row, _ = modules.gpu_models.rates_alone(case, asked, ["graph"])
    assert row["error"] == "RuntimeError: no CUDA graph on cpu"
