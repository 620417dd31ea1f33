"""Rules that tie parameters together: each function yields what breaks one rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.study.cells import cells as cells_of
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.messages import Problem
from pipeline.study.model_rules import MODEL_RULES
from pipeline.study.models import MODEL_KINDS
from pipeline.study.schema import (
    GENERATION,
    Interval,
    OwnSource,
    Params,
)
from pipeline.study.values import Whole, nearest
from pipeline.study.yaml_reader import KeyPath

__all__ = ["broken_rules", "count_cells"]

# Keys of an own source that mean something for one kind alone.
ONLY_OF = {
    "group_pattern": "folder",
    "image_column": "parquet",
    "label_column": "parquet",
    "group_column": "parquet",
}

MAX_TRIALS = 1_000_000
MIN_TRAIN_FRACTION = 0.1
MIN_SIZE = 4  # pixels of height and width


def count_cells(params: Params) -> int:
    """Number of cells of a study, of one data set."""
    return len(cells_of(params))


def broken_rules(params: Params) -> Iterator[Problem]:
    """Yield a problem for every rule that a well-formed study breaks."""
    for rule in (
        _datasets,
        _own_sources,
        _fewer_images,
        _shrink,
        _splits,
        *MODEL_RULES,
        _search_space,
        _grid,
        _when,
        _stopping,
        _objectives,
        _seeds,
        _baseline,
        _size,
    ):
        yield from rule(params)


def _datasets(params: Params) -> Iterator[Problem]:
    known = [*SOURCES, *params.prepare.sources]
    for index, name in enumerate(params.prepare.datasets):
        if sized(name, known)[0] not in known:
            yield Problem(
                ("prepare", "datasets", index),
                f"got {name!r}",
                f"{', '.join(known)}, one of them with a number of training images a class "
                f"({known[0]}-20), or a name of your own that prepare.sources describes",
                nearest(name, known),
            )


def _own_sources(params: Params) -> Iterator[Problem]:
    for name, own in params.prepare.sources.items():
        path: KeyPath = ("prepare", "sources", name)
        if name in SOURCES:
            yield Problem(path, "the name of a known data set", "a name of your own")
        for key, kind in ONLY_OF.items():
            if own.kind != kind and key in own.model_fields_set:
                yield Problem((*path, key), f"set beside kind: {own.kind}", f"only kind: {kind}")
        yield from _pad_value(path, own)
        if own.kind != "arrays" and own.channels not in (1, 3):
            accepts = "1 or 3, or up to 64 with kind: arrays"
            yield Problem((*path, "channels"), f"got {own.channels}", accepts)
        if own.group_pattern is not None:
            try:
                re.compile(own.group_pattern)
            except (re.error, RecursionError, OverflowError) as error:
                fault = f"got {own.group_pattern!r}, which is no regular expression ({error})"
                yield Problem((*path, "group_pattern"), fault, "a regular expression")


def _pad_value(path: KeyPath, own: OwnSource) -> Iterator[Problem]:
    path, value = (*path, "pad_value"), own.pad_value
    if "pad_value" in own.model_fields_set and not own.framed:
        yield Problem(path, f"set beside fit: {own.fit}", "only fit: pad, or a rectangle as size")
    elif isinstance(value, str):
        return
    elif own.dtype == "float32" and value > 1:
        yield Problem(path, f"got {value} beside dtype: float32", "edge or a number from 0 to 1")
    elif own.dtype == "uint8" and value != int(value):
        yield Problem(
            path, f"got {value} beside dtype: uint8", "edge or a whole number from 0 to 255"
        )


def _fewer_images(params: Params) -> Iterator[Problem]:
    prepare = params.prepare
    if prepare.images_per_class is not None and prepare.train_fraction != 1:
        yield Problem(
            ("prepare", "images_per_class"),
            f"got {prepare.images_per_class} beside train_fraction {prepare.train_fraction:g}",
            "one of the two",
        )


def _shrink(params: Params) -> Iterator[Problem]:
    factor = params.prepare.shrink
    for dataset in params.prepare.datasets:
        name = sized(dataset, params.prepare.sources)[0]
        size = SOURCES[name].image_size if name in SOURCES else factor
        if size % factor or size // factor < MIN_SIZE <= size:
            found = [k for k in range(1, size // MIN_SIZE + 1) if size % k == 0]
            yield Problem(
                ("prepare", "shrink"),
                f"got {factor}, but {name} has {size}x{size} pixels",
                f"one of {', '.join(map(str, found))}",
            )


def _splits(params: Params) -> Iterator[Problem]:
    prepare = params.prepare
    train = 1 - prepare.validation_fraction - prepare.test_fraction
    if train < MIN_TRAIN_FRACTION - 1e-9:
        most = 1 - MIN_TRAIN_FRACTION - prepare.validation_fraction
        yield Problem(
            ("prepare", "test_fraction"),
            f"got {prepare.test_fraction:g} beside validation_fraction "
            f"{prepare.validation_fraction:g}, which leaves {max(train, 0):.0%} for training",
            f"a number up to {most:.2g}"
            if most > 0
            else "less beside a smaller validation_fraction",
        )


def _search_space(params: Params) -> Iterator[Problem]:
    base: KeyPath = ("sweep", "search_space")
    if not params.sweep.search_space:
        yield Problem(base, "got no name", f"one or more of {', '.join(HYPERPARAMETERS)}")
    for name, domain in params.sweep.search_space.items():
        kind = HYPERPARAMETERS[name].kind
        path = (*base, name)
        if hasattr(domain, "choices"):
            named: dict[KeyPath, float] = {
                ("choices", i): value for i, value in enumerate(domain.choices)
            }
        else:
            named = {("low",): domain.low, ("high",): domain.high}
            yield from _interval(path, domain, isinstance(kind, Whole))
        for key, value in named.items():
            if not kind.is_valid(value):
                yield Problem((*path, *key), f"got {value!r}", kind.accepts, kind.meant(value))


def _grid(params: Params) -> Iterator[Problem]:
    """A grid has finitely many points, and each of them is tried once."""
    sweep = params.sweep
    if sweep.sampler != "grid":
        return
    size = 1
    for name, domain in sweep.search_space.items():
        if any(name in MODEL_KINDS[model].lacks for model in sweep.model):
            continue  # the model that lacks it has the smallest grid
        whole = isinstance(HYPERPARAMETERS[name].kind, Whole)
        if hasattr(domain, "choices"):
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
            f"{fault} beside several objectives, but stopping looks at accuracy alone",
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


def _seeds(params: Params) -> Iterator[Problem]:
    for index, seed in enumerate(params.confirm.seeds):
        if seed == params.sweep.seed:
            yield Problem(
                ("confirm", "seeds", index),
                f"got {seed}, the seed the sweep tuned with",
                "seeds other than sweep.seed",
            )


def _baseline(params: Params) -> Iterator[Problem]:
    for axis in ("group", "positional"):
        got, cells = getattr(params.report.baseline, axis), getattr(params.sweep, axis)
        if got not in cells:
            yield Problem(
                ("report", "baseline", axis),
                f"got {got!r}, which no cell of the study has",
                f"what sweep.{axis} lists: {', '.join(cells)}",
                nearest(got, cells),
            )
    named = params.report.baseline.model_dump(exclude_none=True)
    if named.keys() <= {"group", "positional"}:
        return
    if not any(cell.matches(named) for cell in cells_of(params)):
        yield Problem(
            ("report", "baseline"),
            f"got {', '.join(f'{axis} {value}' for axis, value in named.items())}, "
            "which together no cell of the study has",
            "the values of one cell; a model may fix some (`gcnn`: positional none, tokens trunk)",
        )


def _size(params: Params) -> Iterator[Problem]:
    cells = count_cells(params) * len(params.prepare.datasets)
    sweep, seeds = params.sweep, len(params.confirm.seeds)
    sizes = {
        ("sweep", "trials_per_cell"): (sweep.trials_per_cell, "trials"),
        ("confirm", "seeds"): (seeds, "runs"),
    }
    for path, (each, word) in sizes.items():
        if cells * each > MAX_TRIALS:
            yield Problem(
                path,
                f"got {each} for each of {cells} cells, which is {cells * each:,} {word}",
                f"{MAX_TRIALS:,} {word} in all",
            )
