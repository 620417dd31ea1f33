"""Rules of what is searched: domains, grids, conditions, early stopping, objectives."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from pipeline.common.spelling import nearest
from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.messages import Problem, explain
from pipeline.study.models import MODEL_KINDS
from pipeline.study.schema import GENERATION, Choices, Interval, Params
from pipeline.study.yaml_reader import KeyPath

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


def _when(params: Params) -> Iterator[Problem]:
    """Conditions name what the study has, and leave no cell without a width or heads."""
    for name, domain in params.sweep.search_space.items():
        path: KeyPath = ("sweep", "search_space", name, "when")
        if name in ("channels", "heads") and domain.when:
            yield Problem(path, "some cells would have none", f"no condition on {name}")
        for axis, values in domain.when.items():
            known = getattr(params.sweep, axis)
            for index, value in enumerate(values):
                if value not in known:
                    fault = f"got {value!r}, which no cell of the study has"
                    accepts = f"what sweep.{axis} lists: {', '.join(map(str, known))}"
                    meant = nearest(value, [str(one) for one in known])
                    yield Problem((*path, axis, index), fault, accepts, meant)


def _stopping(params: Params) -> Iterator[Problem]:
    """Where trials are to be stopped, some can be."""
    sweep, path = params.sweep, ("sweep", "stopping", "reduction")
    if sweep.stopping.reduction is None:
        return
    fault = f"got {sweep.stopping.reduction}"
    if sweep.trials_per_cell <= GENERATION:
        yield Problem(
            path,
            f"{fault}, but the first {GENERATION} trials of a cell are never stopped",
            f"null, or a number with trials_per_cell above {GENERATION}",
        )
    if sweep.stopping.min_epochs >= sweep.epochs:
        yield Problem(
            ("sweep", "stopping", "min_epochs"),
            f"got {sweep.stopping.min_epochs}, but a trial has {sweep.epochs} epochs",
            f"a whole number below {sweep.epochs}",
        )
    if len(sweep.objectives) > 1:
        yield Problem(
            path,
            f"{fault} with several objectives, but stopping looks at accuracy alone",
            "null with several objectives",
        )


def _objectives(params: Params) -> Iterator[Problem]:
    """Accuracy comes first; an evolution strategy knows no second."""
    sweep, path = params.sweep, ("sweep", "objectives")
    if sweep.objectives[0] != "accuracy":
        fault = f"got {sweep.objectives[0]!r} first"
        yield Problem((*path, 0), fault, "accuracy first, then any others", "accuracy")
    if sweep.sampler == "cmaes" and len(sweep.objectives) > 1:
        fault = f"got {len(sweep.objectives)} objectives with sampler: cmaes"
        yield Problem(path, fault, "[accuracy] with sampler: cmaes, or sampler: tpe")


SEARCH_RULES = (_search_space, _grid, _when, _stopping, _objectives)
