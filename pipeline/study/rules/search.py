"""Rules of what is searched: domains, grids, conditions, early stopping, objectives."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.messages import KeyPath, Problem, explain
from pipeline.study.models import MODEL_KINDS
from pipeline.study.objectives import CHOOSING
from pipeline.study.schema import GENERATION, Choices, Interval, Params

__all__ = ["SEARCH_RULES"]


def _search_space(params: Params) -> Iterator[Problem]:
    base: KeyPath = ("sweep", "search_space")
    if not params.sweep.search_space:
        yield Problem(base, "got no name", f"one or more of {', '.join(HYPERPARAMETERS)}")
    for name, domain in params.sweep.search_space.items():
        one = HYPERPARAMETERS[name]
        path = (*base, name)
        if isinstance(domain, Choices):
            named: dict[KeyPath, float] = {
                ("choices", i): value for i, value in enumerate(domain.choices)
            }
        else:
            named = {("low",): domain.low, ("high",): domain.high}
            yield from _interval(path, domain, one.is_integer)
        for key, value in named.items():
            try:
                TypeAdapter(one.kind).validate_python(value)
            except ValidationError as error:
                yield from explain(error, one.kind, value, (*path, *key))


def _interval(path: KeyPath, domain: Interval, whole: bool) -> Iterator[Problem]:
    if domain.low >= domain.high:
        yield Problem(
            (*path, "low"),
            f"got {domain.low!r}, which is not below high: {domain.high!r}",
            f"a number below {domain.high!r}",
            None if domain.low == domain.high else f"low: {domain.high!r}, high: {domain.low!r}",
        )
    if domain.log and domain.low <= 0:
        yield Problem(
            (*path, "low"), f"got {domain.low!r} with log: true", "a number above 0 with log: true"
        )
    if domain.step is None:
        return
    if domain.log:
        yield Problem((*path, "step"), f"got {domain.step!r} with log: true", "null with log: true")
    elif domain.step > domain.high - domain.low:
        width = domain.high - domain.low
        yield Problem((*path, "step"), f"got {domain.step!r}", f"null or a number up to {width:g}")
    elif whole and domain.step != int(domain.step):
        yield Problem((*path, "step"), f"got {domain.step!r}", "null or a whole number")


def _grid(params: Params) -> Iterator[Problem]:
    """A grid has finitely many points, and each of them is tried once."""
    sweep = params.sweep
    if sweep.sampler != "grid":
        return
    size = 1
    for name, domain in sweep.search_space.items():
        if any(name in MODEL_KINDS[model].lacks for model in sweep.model):
            continue  # the model that lacks it has the smallest grid
        whole = HYPERPARAMETERS[name].is_integer
        if isinstance(domain, Choices):
            size *= len(domain.choices)
        elif domain.step is not None or whole:
            size *= int((domain.high - domain.low) / (domain.step or 1) + 1e-9) + 1
        else:
            path: KeyPath = ("sweep", "search_space", name)
            yield Problem(path, "no grid of an interval without a step", "choices, or a step")
            size = params.sweep.trials_per_cell  # one problem at a time
    if sweep.trials_per_cell > size:
        fault = f"got {sweep.trials_per_cell}, but the grid of sweep.search_space has {size} points"
        yield Problem(("sweep", "trials_per_cell"), fault, f"up to {size} with sampler: grid")


def _stopping(params: Params) -> Iterator[Problem]:
    """Where trials are to be stopped, some can be."""
    sweep, path = params.sweep, ("sweep", "stopping", "reduction")
    if sweep.stopping.reduction is None or sweep.epochs is None:
        return
    fault = f"got {sweep.stopping.reduction}"
    if sweep.trials_per_cell <= GENERATION:
        yield Problem(
            path,
            f"{fault}, but the first {GENERATION} trials of a cell are never stopped",
            f"null, or a number with trials_per_cell above {GENERATION}",
        )
    if sweep.stopping.min_epochs >= sweep.trial_epochs:
        yield Problem(
            ("sweep", "stopping", "min_epochs"),
            f"got {sweep.stopping.min_epochs}, but a trial has {sweep.trial_epochs} epochs",
            f"a whole number below {sweep.trial_epochs}",
        )
    if sweep.objectives != ("accuracy",):
        yield Problem(
            path,
            f"{fault} with {' and '.join(sweep.objectives)} as objectives, but stopping looks at "
            "accuracy alone",
            "null with other objectives than [accuracy]",
        )


def _objectives(params: Params) -> Iterator[Problem]:
    """What the best is chosen by comes first; an evolution strategy knows no second."""
    sweep, path = params.sweep, ("sweep", "objectives")
    if sweep.objectives[0] not in CHOOSING:
        fault = f"got {sweep.objectives[0]!r} first"
        accepts = f"one of {', '.join(CHOOSING)} first, then any others"
        yield Problem((*path, 0), fault, accepts, "accuracy")
    if sweep.sampler == "cmaes" and len(sweep.objectives) > 1:
        fault = f"got {len(sweep.objectives)} objectives with sampler: cmaes"
        yield Problem(path, fault, "one objective with sampler: cmaes, or sampler: tpe")


SEARCH_RULES = (_search_space, _grid, _stopping, _objectives)
