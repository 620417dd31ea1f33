"""The search space of a cell as Optuna's distributions, and the configuration of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipeline.study.budgets import matched_epochs
from pipeline.study.cells import Cell
from pipeline.study.hyperparameters import DEFAULTS, HYPERPARAMETERS
from pipeline.study.models import MODEL_KINDS, network_arguments, own_form
from pipeline.study.patches import own_patch_size
from pipeline.study.schema import Choices, Interval, Params, Sweep


def distributions(
    space: Mapping[str, Interval | Choices], cell: Cell
) -> dict[str, BaseDistribution]:
    """Turn what the study searches in a cell into Optuna's distributions, in order of name.

    The order decides which random draw goes to which hyperparameter, so it does not follow the
    order of lines in a file. What a model does not have is not searched.
    """
    return {
        name: _distribution(name, space[name])
        for name in sorted(set(space) - MODEL_KINDS[cell.model].lacks)
        if cell.within(space[name].when)
    }


def _distribution(name: str, domain: Interval | Choices) -> BaseDistribution:
    is_integer = HYPERPARAMETERS[name].is_integer
    if isinstance(domain, Choices):
        return CategoricalDistribution([int(v) if is_integer else float(v) for v in domain.choices])
    if is_integer:
        low, high, step = int(domain.low), int(domain.high), int(domain.step or 1)
        return IntDistribution(low, high, log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def batch_sizes(params: Params) -> list[int]:
    """Return the batch size of a study; of one that searches it, all choices or both ends."""
    domain = params.sweep.search_space.get("batch_size")
    if domain is None:
        return [params.sweep.batch_size or 1]
    ends = domain.choices if isinstance(domain, Choices) else (domain.low, domain.high)
    return sorted(int(size) for size in ends)


def configuration(
    cell: Cell,
    sampled: Mapping[str, Any],
    params: Params,
    dataset: Any,
    step_seconds: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Return all that `training.train` needs in addition to the data, as one flat dictionary.

    Parameters
    ----------
    cell : Cell
        Where in the study.
    sampled : dict
        The proposed hyperparameters.
    params : pipeline.study.params.Params
        The study.
    dataset : pipeline.dataset.Dataset
        Its channels, classes and image size decide the shape of the model.
    step_seconds : dict, optional
        Seconds of a training step of the cell by its batch size, linear between those given. They
        decide its epochs where seconds are matched; without them, one epoch.

    Raises
    ------
    ValueError
        No width of this model has as few parameters or FLOPs as the study wants.
    """
    sweep = params.sweep
    architecture = sweep.architecture
    config = {
        **asdict(cell),
        "form": own_form(cell.model, architecture.form),
        "heads": architecture.heads,
        "window": architecture.window,
        "window_shape": architecture.window_shape,
        "encoding": architecture.encoding,
        "patch_size": own_patch_size(architecture, cell.tokens, dataset.image_size),
        "basis": architecture.basis,
        "kernel_size": architecture.kernel_size,
        **DEFAULTS,
        "light_shift": sweep.light_augment.shift,
        "light_crop": sweep.light_augment.crop,
        "light_colour": sweep.light_augment.colour,
        "class_weights": sweep.class_weights,
        "penalty_turns": sweep.penalty_turns,
        "equal_steps": sweep.equal_steps,
        "objective": sweep.objectives[0],
        **objective_turns(sweep),
        "batch_size": sweep.batch_size,
        "schedule": sweep.schedule,
        **switches(sweep),
        "epochs": sweep.trial_epochs,
        "seed": sweep.seed,
        "in_channels": dataset.in_channels,
        "num_classes": dataset.num_classes,
        "image_size": dataset.image_size,
        **sampled,
        **dict.fromkeys(MODEL_KINDS[cell.model].lacks),  # null: it has no such thing
    }
    if sweep.match is not None:
        config["channels"] = matched_channels(config, *sweep.match.width)
    if sweep.match is not None and step_seconds is not None:
        batches = sorted(step_seconds)
        seconds = [step_seconds[size] for size in batches]
        config["step_seconds"] = float(np.interp(config["batch_size"], batches, seconds))
        config["epochs"] = matched_epochs(config, sweep.match.at, len(dataset.train))
    return config


def objective_turns(sweep: Sweep) -> dict[str, Any]:
    """Return how validation images are turned too, where an objective is about turned ones."""
    if "accuracy_turned" not in sweep.objectives:
        return {}
    return {"objective_turns": sweep.objective_turns}


def switches(sweep: Sweep) -> dict[str, Any]:
    """Return how steps are computed, where a study asks for more than plain float32.

    What is off is left out: a configuration is then that of a study which cannot ask.
    """
    found = {name: getattr(sweep, name) for name in ("precision", "compile", "cuda_graph")}
    return {name: value for name, value in found.items() if value not in ("fp32", False)}


def transferred(
    config: Mapping[str, Any], cell: Cell, params: Params, card: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the configuration of a search for another cell or data set.

    Hyperparameters stay; what the study matches is solved for the cell and data set at hand.

    Parameters
    ----------
    config : dict
        The best configuration of the search.
    cell : Cell
        The cell that it is for.
    params : pipeline.study.params.Params
        The study.
    card : dict
        The card of the data set that it is for.
    """
    channels, height, width = card["image_shape"]
    moved = {
        **config,
        **asdict(cell),
        "form": own_form(cell.model, params.sweep.architecture.form),
        **dict.fromkeys(MODEL_KINDS[cell.model].lacks),
        "in_channels": channels,
        "num_classes": card["classes"],
        "image_size": height if height == width else [height, width],
        "patch_size": own_patch_size(params.sweep.architecture, cell.tokens, max(height, width)),
    }
    match = params.sweep.match
    if match is not None:
        moved["channels"] = matched_channels(moved, *match.width)
        if match.of == "seconds":
            moved["epochs"] = matched_epochs(moved, match.at, card["counts"]["train"]["total"])
    return moved


def shape_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `build_model`, other than ``channels``, that decide a shape."""
    shapeless = [name for name, one in HYPERPARAMETERS.items() if not one.decides_shapes]
    return network_arguments(config, "channels", *shapeless)


def matched_channels(config: Mapping[str, Any], of: str, budget: int) -> int:
    """Solve the width with which the model comes closest to a number of parameters or FLOPs."""
    arguments = shape_of(config).items()
    return _solve(
        of, budget, tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in arguments)
    )


@cache
def _solve(of: str, budget: int, arguments: tuple[tuple[str, Any], ...]) -> int:
    """Solve a width once per shape: building a dozen models is slow compared with a proposal."""
    from gsa_core import solve_channels

    return int(solve_channels(budget, of=of, **dict(arguments)))
