"""Section 2 of `gpu.py`: a device computes what the processor computes in float64.

The reference is the CPU in float64 with every score in memory. Values and gradients of every way
that the device has agree to 1e-12 of the largest of them, and every layer is equivariant to 1e-12.
Errors of narrower numbers are stated, not judged.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import torch
from gpu_flex import FLEX_CHECKS, check_layer, check_results, flex_tolerance
from gpu_layers import batch_of, device_methods
from gpu_triton import TRITON_CHECKS, compile_ahead, triton_problem, triton_results
from torch import Tensor, nn

from gsa_core import (
    GroupSelfAttention,
    LiftingSelfAttention,
    build_model,
    equivariance_error,
    point_group,
)

__all__ = ["correctness"]

TOLERANCE = 1e-12
FORMS = ("lifting", "joint", "framewise", "published")
ENCODINGS: tuple[dict[str, Any], ...] = (
    {"positional": "none"},
    {"positional": "absolute"},
    {"positional": "relative"},
    {"positional": "relative", "encoding": "continuous"},
    {"positional": "radial"},
    {"positional": "rotary"},
    {"positional": "relative", "encoding": "published", "head_dim": 7},
)
GROUPS = ("D4", "C4", "C1", "C2", "D2", "C8", "D8")
WINDOWS = ((None, "auto"), (3, "square"), (5, "disc"), (5, "soft_disc"))
SIDE, BATCH, CHANNELS = 6, 2, 3
MODELS = ("gsa", "hybrid", "gcnn", "staged", "symmetrized")
Row = dict[str, Any]


def correctness(asked: argparse.Namespace) -> Iterator[Row]:
    """Rows, each of one kind of check: what was checked, the largest error, and what is wrong."""
    device = asked.device
    compile_ahead(device, asked.quick, batch_of(asked))
    for name, dtype in TRITON_CHECKS[: 1 if asked.quick else None]:
        check = f"triton, {name}"
        if why := triton_problem(device):
            yield {"check": check, "dtype": "float32", "skipped": why}
            break
        yield {"check": check} | _attempted(_own_errors, device, name, dtype, triton_results)
    types = (torch.float32, torch.bfloat16)
    for dtype, name in product(types[: 1 if asked.quick else 2], FLEX_CHECKS):
        yield {"check": f"flex, {name}"} | _attempted(
            _own_errors, device, name, dtype, check_results
        )
    for name, check in CHECKS.items():
        yield {"check": name} | _attempted(check, device)
    for form in FORMS:
        yield {"check": f"{form} in narrower numbers"} | _attempted(_narrow_errors, device, form)
    for model in MODELS:
        yield {"check": f"model {model}"} | _attempted(_model_error, device, model)
    groups, windows = (GROUPS[:1], WINDOWS[1:2]) if asked.quick else (GROUPS, WINDOWS)
    for form, encoding in product(FORMS, ENCODINGS):
        names = ", ".join(map(str, encoding.values()))
        yield {"check": f"{form}, {names}"} | _grid_row(device, form, encoding, groups, windows)


def _attempted(check: Callable[..., Row], *arguments: Any) -> Row:
    """What a check finds; its error is the row's."""
    try:
        found = check(*arguments)
    except Exception as error:
        traceback.print_exc()
        return {"ok": False, "where": f"{type(error).__name__}: {error}".partition("\n")[0]}
    return {"dtype": "float64", **found}


def _grid_row(
    device: torch.device,
    form: str,
    encoding: Row,
    groups: tuple[str, ...],
    windows: tuple[tuple[int | None, str], ...],
) -> Row:
    """The worst of every group and window."""
    worst: Row = {"ok": True, "cases": 0}
    for name, (window, shape) in product(groups, windows):
        options = {**encoding, "window": window, "window_shape": shape}
        case = f"{name}, window {window} {shape}"
        found = _attempted(_layer_errors, device, form, name, options)
        worst["cases"] += 1
        for key in ("values", "gradients", "equivariance"):
            worst[key] = max(worst.get(key, 0.0), found.get(key, 0.0))
        if not found["ok"] and worst["ok"]:
            worst |= {"ok": False, "where": f"{case}: {found.get('where', 'wrong')}"}
    return {"dtype": "float64", **worst}


def layer(form: str, name: str, options: Row) -> nn.Module:
    """A layer in float64, every parameter random: encodings near zero would pass any test."""
    group, options = point_group(name), {"positional": "relative", **options}
    absolute = options["positional"] == "absolute"
    if absolute or (options.get("window") is None and options["positional"] != "none"):
        options["image_size"] = SIDE
    if options.get("window") is None:
        options.pop("window_shape", None)
    if form == "lifting":
        return randomised(LiftingSelfAttention(group, CHANNELS, 4, 2, **options))
    return randomised(GroupSelfAttention(group, CHANNELS, 4, 2, form=form, **options))


def randomised(module: nn.Module) -> nn.Module:
    """The module in float64 and evaluation mode, its parameters drawn at random."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator, device="cpu"))
    return module


def features(module: nn.Module, batch: int = BATCH, side: int = SIDE) -> Tensor:
    """Random input of a layer."""
    frames = () if isinstance(module, LiftingSelfAttention) else (module.group.order,)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(
        batch, CHANNELS, *frames, side, side, generator=generator, device="cpu"
    ).double()


def results(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients of the input and of all parameters, on the CPU in float64."""
    x = x.clone().requires_grad_()
    out = module(x)
    wanted = [x, *module.parameters()]
    found = [out, *torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)]
    return [torch.zeros(()) if y is None else y.detach().to("cpu", torch.float64) for y in found]


def errors(found: list[Tensor], expected: list[Tensor]) -> tuple[float, float]:
    """Of values relative to their norm, and of gradients relative to the largest of them."""
    values, *gradients = (a - b for a, b in zip(found, expected, strict=True))
    largest = max(x.norm() for x in expected[1:])
    return (
        float(values.norm() / expected[0].norm()),
        float(torch.stack([x.norm() for x in gradients]).max() / largest),
    )


def _layer_errors(device: torch.device, form: str, name: str, options: Row) -> Row:
    """Largest errors of one layer, over the device's methods and the group's generators."""
    reference = layer(form, name, {**options, "method": "written_out"})
    x = features(reference)
    expected = results(reference, x)
    moved, on_device = deepcopy(reference).to(device), x.to(device)
    values = gradients = equivariance = 0.0
    for method in device_methods(device):
        moved.method = method
        wrong = errors(results(moved, on_device), expected)
        values, gradients = max(values, wrong[0]), max(gradients, wrong[1])
    moved.method = "torch"
    exact = list(moved.group.exact_elements)
    for element in {exact[min(1, len(exact) - 1)], exact[-1]}:  # a turn and a mirror
        error = equivariance_error(moved, on_device, moved.group, element)
        equivariance = max(equivariance, error)
    found = (values, gradients, equivariance)
    return {
        "ok": all(error <= TOLERANCE for error in found),  # nor is what is not a number
        **dict(zip(("values", "gradients", "equivariance"), found, strict=True)),
    }


def _model_error(device: torch.device, name: str) -> Row:
    """A whole network against itself on the CPU."""
    sizes = {"group": "C4", "image_size": 12, "channels": 4, "depth": 1, "num_classes": 3}
    reference = randomised(build_model(name, **sizes))
    x = torch.randn(BATCH, 1, 12, 12, generator=torch.Generator().manual_seed(1)).double()
    expected = results(reference, x)
    values, gradients = errors(results(deepcopy(reference).to(device), x.to(device)), expected)
    ok = max(values, gradients) <= TOLERANCE
    return {"ok": ok, "values": values, "gradients": gradients}


def _narrow_errors(device: torch.device, form: str) -> Row:
    """Errors of values and gradients in float32, with TF32 on a card that has it, and bfloat16."""
    row: Row = {"dtype": "stated"}
    for name, dtype, narrow in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        if narrow and device.type != "cuda":
            continue
        reference = layer(form, "C4", {"window": 3, "method": "written_out"})
        x = features(reference)
        expected = results(reference, x)
        moved = deepcopy(reference).to(device, dtype)
        moved.method = "torch"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = narrow
        try:
            wrong = errors(results(moved, x.to(device, dtype)), expected)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        row[f"{name} values"], row[f"{name} gradients"] = wrong
    return row


def _own_errors(
    device: torch.device, name: str, dtype: torch.dtype, found_by: Callable[..., list[Tensor]]
) -> Row:
    """FlexAttention or Triton against the CPU in float64, of an image of several blocks."""
    reference = randomised(check_layer(name))
    reference.method = "written_out"
    x = features(reference, side=12)
    expected = results(reference, x)
    found = found_by(name, reference, x, dtype, device, results)
    values, gradients = errors(found, expected)
    row = {"dtype": str(dtype).removeprefix("torch."), "values": values, "gradients": gradients}
    return {"ok": max(values, gradients) <= flex_tolerance(dtype), **row}


def _no_images(device: torch.device) -> Row:
    """A batch without images, as the last part of a data set may be."""
    for form in FORMS:
        for window, method in product((None, 3), device_methods(device)):
            module = layer(form, "C4", {"window": window, "method": method}).to(device)
            x = features(module, 0).to(device).requires_grad_()
            out = module(x)
            out.sum().backward()
            if out.shape[0] != 0 or x.grad is None or x.grad.shape != x.shape:
                raise AssertionError(f"{form}, window {window}, {method}: not an empty result")
    return {"ok": True}


def _many_streams(device: torch.device) -> Row:
    """More streams (batch x |H| x heads) than a grid of CUDA has blocks along two axes."""
    module, batch, worst = layer("framewise", "D4", {"method": "torch"}), 4200, 0.0
    module = module.to(device)
    for window in (None, 3):
        module.window = window
        x = features(module, batch)[..., :3, :3].to(device)
        with torch.no_grad():
            whole, parts = module(x), torch.cat([module(part) for part in x.chunk(4)])
        worst = max(worst, float((whole - parts).norm() / parts.norm()))
    streams = batch * module.group.order * module.num_heads
    return {"ok": worst <= TOLERANCE and streams > 65_535, "values": worst, "cases": streams}


def _no_waiting(device: torch.device) -> Row:
    """A step of training that never waits for the device; on a CPU there is nothing to wait for."""
    for form in FORMS:
        module = layer(form, "C4", {"window": 3, "method": "torch"}).to(device)
        x = features(module).to(device)
        optimizer = torch.optim.AdamW(module.parameters(), fused=True)

        def step(module=module, x=x, optimizer=optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            module(x).square().sum().backward()
            optimizer.step()

        step()  # what is made once
        if device.type != "cuda":
            continue
        torch.cuda.set_sync_debug_mode("error")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {"ok": True}


def _made_there(device: torch.device) -> Row:
    """Layers and networks that are built on the device have nothing elsewhere."""
    with device:
        made = [layer(form, "C4", {"window": 3}) for form in FORMS]
        made += [build_model(name, image_size=12, channels=4, depth=1) for name in MODELS]
        for module in made:
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if tensor.device.type != device.type:
                    raise AssertionError(f"{name} of {type(module).__name__}: on {tensor.device}")
    return {"ok": True}


CHECKS: dict[str, Callable[[torch.device], Row]] = {
    "no images": _no_images,
    "more than 65,535 streams": _many_streams,
    "no waiting in a step": _no_waiting,
    "built on the device": _made_there,
}
