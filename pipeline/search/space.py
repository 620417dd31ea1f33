"""What a study searches: its cells, the distributions of its space, whole configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipeline.study.cells import distinct_cells
from pipeline.study.models import MODEL_KINDS, own_form, unused

# Hyperparameters that count something.
INTEGERS = frozenset({"channels", "heads"})
# What a hyperparameter is when the study does not search it.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 0.003,
    "weight_decay": 0.01,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "feedforward_ratio": 2,
    "label_smoothing": 0.0,
}


@dataclass(frozen=True)
class Cell:
    """One combination of the study's axes; every cell gets the same budget."""

    model: str
    group: str
    positional: str
    depth: int
    tokens: str

    @property
    def name(self) -> str:
        """Name of the cell in tables and files.

        >>> Cell("gsa", "C4", "relative", 2, "stem").name
        'gsa-C4-relative-d2-stem'
        """
        return f"{self.model}-{self.group}-{self.positional}-d{self.depth}-{self.tokens}"

    def columns(self) -> dict[str, Any]:
        """Return the key columns of the cell's rows."""
        return {"cell": self.name, **asdict(self)}


def cells(params: Any) -> list[Cell]:
    """List the cells of a study, the last axis of `params.yaml` varying fastest."""
    return [Cell(*values) for values in distinct_cells(params)]


def distributions(space: Mapping[str, Any], cell: Cell) -> dict[str, BaseDistribution]:
    """Turn what the study searches in a cell into Optuna's distributions, in order of name.

    The order decides which random draw goes to which hyperparameter, so it does not follow the
    order of lines in a file. What a model does not have is not searched.
    """
    own = sorted(set(space) - MODEL_KINDS[cell.model].lacks)
    return {name: _distribution(name, space[name]) for name in own if holds(space[name], cell)}


def holds(domain: Any, cell: Cell) -> bool:
    """Whether a hyperparameter is one of a cell: whether its `when` names the cell's values."""
    return all(getattr(cell, axis) in values for axis, values in domain.when.items())


def _distribution(name: str, values: Any) -> BaseDistribution:
    """Turn an `Interval` or `Choices` into a distribution."""
    if hasattr(values, "choices"):
        whole = name in INTEGERS
        return CategoricalDistribution([int(v) if whole else float(v) for v in values.choices])
    if name in INTEGERS:
        low, high, step = int(values.low), int(values.high), int(values.step or 1)
        return IntDistribution(low, high, log=values.log, step=step)
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def configuration(
    cell: Cell, sampled: Mapping[str, Any], params: Any, dataset: Any
) -> dict[str, Any]:
    """Return all that `training.train` needs beside the data, as one flat dictionary.

    Parameters
    ----------
    cell : Cell
        Where in the study.
    sampled : dict
        The proposed hyperparameters.
    params : pipeline.study.params.Params
        The study.
    dataset : pipeline.datasets.Dataset
        Its channels, classes and image size decide the shape of the model.

    Raises
    ------
    ValueError
        No width of this model has as few parameters as the study wants.
    """
    sweep = params.sweep
    size = dataset.image_size
    architecture = sweep.architecture
    config = {
        **asdict(cell),
        "form": own_form(cell.model, architecture.form),
        "heads": architecture.heads,
        "window": architecture.window,
        "window_shape": architecture.window_shape,
        "encoding": architecture.encoding,
        "patch_size": architecture.patch_size,
        **DEFAULTS,
        "augment": sweep.augment,
        "batch_size": sweep.batch_size,
        "epochs": sweep.epochs,
        "seed": sweep.seed,
        "in_channels": dataset.in_channels,
        "num_classes": dataset.num_classes,
        "image_size": size if isinstance(size, int) else list(size),
        **sampled,
        **dict.fromkeys(MODEL_KINDS[cell.model].lacks),  # null: it has no such thing
    }
    if sweep.match_parameters is not None:
        config["channels"] = matched_channels(config, sweep.match_parameters)
    return config


# The keys of a configuration that decide a model's shape, by their name in `build_model`.
_SHAPE = {
    **{name: name for name in ("model", "group", "positional", "depth", "tokens", "form")},
    **{name: name for name in ("window", "window_shape", "encoding", "patch_size")},
    **{name: name for name in ("feedforward_ratio", "in_channels", "num_classes", "image_size")},
    "heads": "num_heads",
}


def shape_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `build_model`, other than ``channels``, that decide a shape."""
    names = sorted(_SHAPE.keys() - unused(config))
    return {_SHAPE[name]: config[name] for name in names if config[name] is not None}


def matched_channels(config: Mapping[str, Any], parameters: int) -> int:
    """Solve the width with which the model comes closest to a number of parameters."""
    arguments = shape_of(config).items()
    return _solve(
        parameters, tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in arguments)
    )


@cache
def _solve(parameters: int, arguments: tuple[tuple[str, Any], ...]) -> int:
    """Solve a width once per shape: building a dozen models is slow beside a proposal."""
    from gsa_core import solve_channels

    return int(solve_channels(parameters, **dict(arguments)))
