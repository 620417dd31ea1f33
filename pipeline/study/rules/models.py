"""Rules of a study's models: cells that make sense, sizes that fit, one source for each width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.study.cells import cells
from pipeline.study.datasets import sized
from pipeline.study.messages import Problem
from pipeline.study.models import MODEL_KINDS, PATCHED, encoded_by
from pipeline.study.patches import STEMS, own_patch_size, patch_sizes, token_grid
from pipeline.study.schema import Params

__all__ = ["MODEL_RULES"]

# Groups that map a square pixel grid's axes onto one another, so that a table of offsets exists.
KEEPS_AXES = ("C1", "C2", "C4", "D1", "D2", "D4")


def image_size(params: Params, dataset: str) -> int | None:
    """Height and width of a data set's images; None for a name that is not known."""
    own = params.prepare.sources.get(sized(dataset, params.prepare.sources)[0])
    if own is not None:
        return own.side
    source = params.prepare.known_source(dataset)
    return source.image_size // params.prepare.shrink if source else None


def _tokens(params: Params) -> set[str]:
    return {cell.tokens for cell in cells(params)}


def _sizes(params: Params) -> dict[str, int]:
    found = {dataset: image_size(params, dataset) for dataset in params.prepare.datasets}
    return {dataset: size for dataset, size in found.items() if size is not None}


def _models(params: Params) -> Iterator[Problem]:
    """Cells that would be one network under two names, or none at all."""
    found = cells(params)
    for index, model in enumerate(params.sweep.model):
        path = ("sweep", "model", index)
        if MODEL_KINDS[model].keeps_axes:
            for group in params.sweep.group:
                if group not in KEEPS_AXES:
                    fault = f"got {model!r} with sweep.group {group}, whose turns leave the grid"
                    yield Problem(path, fault, f"{', '.join(KEEPS_AXES)} with {model!r}")
        if missing := MODEL_KINDS[model].needs - set(params.sweep.search_space):
            (name,) = missing
            fault = f"got {model!r}, but sweep.search_space has no {name!r}"
            yield Problem(path, fault, f"{model!r} with sweep.search_space.{name}")
        if model == "vit" and any(
            replace(cell, model="gsa") in found for cell in found if cell.model == "vit"
        ):
            yield Problem(
                path,
                "got 'vit' with 'gsa' with group C1 and tokens patch, which are the same network",
                "one of the two",
            )


def _width_and_heads(params: Params) -> Iterator[Problem]:
    """Width, heads and batch size each come from one place."""
    sweep = params.sweep
    settings = {
        "channels": (("sweep", "match"), sweep.match and sweep.match.of),
        "heads": (("sweep", "architecture", "heads"), sweep.architecture.heads),
        "batch_size": (("sweep", "batch_size"), sweep.batch_size),
    }
    for name, (path, value) in settings.items():
        what = "{of: parameters, at: 20000}" if name == "channels" else "a number"
        searched = name in sweep.search_space
        if value is not None and searched:
            yield Problem(
                path,
                f"got {value}, but sweep.search_space.{name} searches what it would fix",
                f"null with sweep.search_space.{name}, or {what} without it",
                "null",
            )
        elif value is None and not searched and not _all_lack(params, name):
            yield Problem(
                path,
                f"got null, but sweep.search_space has no {name!r}",
                f"{what}, or null with sweep.search_space.{name}",
            )


def _all_lack(params: Params, name: str) -> bool:
    return all(name in MODEL_KINDS[model].lacks for model in params.sweep.model)


def _fixed_width(params: Params) -> Iterator[Problem]:
    match = params.sweep.match
    for model in params.sweep.model:
        if match is not None and MODEL_KINDS[model].width_is_fixed:
            yield Problem(
                ("sweep", "match"),
                f"got {match.of} with sweep.model {model}, whose width is that of the publication",
                f"null with {model}",
                "null",
            )


def _match(params: Params) -> Iterator[Problem]:
    """Each kind of match has what it needs and no more; seconds decide the epochs."""
    sweep, path = params.sweep, ("sweep", "match")
    of = None if sweep.match is None else sweep.match.of
    if (sweep.epochs is None) != (of == "seconds"):
        fault = f"got {sweep.epochs} with match: {{of: seconds}}, which decides the epochs"
        if sweep.epochs is None:
            fault = "got null without match: {of: seconds}"
        yield Problem(("sweep", "epochs"), fault, "a number, or null where seconds are matched")
    if of == "seconds" and sweep.search_epochs is not None:
        fault = f"got {sweep.search_epochs} with match: {{of: seconds}}, which decides the epochs"
        yield Problem(("sweep", "search_epochs"), fault, "null where seconds are matched")
    if sweep.match is None:
        return
    at, parameters = sweep.match.at, sweep.match.parameters
    if of != "seconds" and (at < 100 or at != int(at)):
        yield Problem((*path, "at"), f"got {at} {of}", "a whole number from 100")
    if (parameters is None) == (of == "seconds"):
        fault = f"got {'null' if parameters is None else parameters} with of: {of}"
        accepts = "a number with of: seconds, whose widths it decides; null otherwise"
        yield Problem((*path, "parameters"), fault, accepts)
    if of == "seconds" and sweep.stopping.reduction is not None:
        yield Problem(
            ("sweep", "stopping", "reduction"),
            f"got {sweep.stopping.reduction} with match: {{of: seconds}}, but a trial that is "
            "stopped has not trained for as long as the others",
            "null with matched seconds",
        )


def _nothing_searched(params: Params) -> Iterator[Problem]:
    space = params.sweep.search_space
    for index, model in enumerate(params.sweep.model):
        if space and not set(space) - MODEL_KINDS[model].lacks:
            fault = f"got {model!r}, which has nothing of sweep.search_space ({', '.join(space)})"
            yield Problem(("sweep", "model", index), fault, "learning_rate or more to search")


def _window(params: Params) -> Iterator[Problem]:
    architecture = params.sweep.architecture
    window, shape = architecture.window, architecture.window_shape
    if window is None:
        if shape != "auto":
            place = ("sweep", "architecture", "window_shape")
            yield Problem(place, f"got {shape!r} with window null", "auto with global attention")
        return
    path = ("sweep", "architecture", "window")
    grids = {
        (dataset, tokens): token_grid(size, tokens, own_patch_size(architecture, tokens, size))
        for dataset, size in _sizes(params).items()
        for tokens in _tokens(params)
    }
    if not grids:
        return
    (dataset, tokens), grid = min(grids.items(), key=lambda item: (item[1], item[0]))
    largest = grid - 1 + grid % 2
    accepts = f"null (global attention) or an odd number from 1 to {largest}"
    if window > grid:
        fault = f"got {window}, but {dataset} has {grid}x{grid} {tokens} tokens"
        yield Problem(path, fault, accepts, str(largest))
    elif window % 2 == 0:
        yield Problem(path, f"got {window}, which has no middle", accepts, str(window - 1))


def _kernel_size(params: Params) -> Iterator[Problem]:
    got = params.sweep.architecture.kernel_size
    if got is not None and got % 2 == 0:
        fault = f"got {got}, which has no middle"
        yield Problem(
            ("sweep", "architecture", "kernel_size"), fault, "null or an odd number", str(got - 1)
        )


def _patches(params: Params) -> Iterator[Problem]:
    """Patches tile an image with as many zeros on either side, stems halve its grid."""
    architecture = params.sweep.architecture
    path, got = ("sweep", "architecture", "patch_size"), architecture.patch_size
    tokens = _tokens(params)
    if architecture.max_tokens is not None:
        if got is not None:
            yield Problem(path, f"got {got} with max_tokens", "null with max_tokens", "null")
        return
    if "stem" in tokens and got not in (None, *STEMS):
        yield Problem(path, f"got {got} with stem tokens", f"null or {', '.join(map(str, STEMS))}")
    patch = got or 4
    for dataset, size in _sizes(params).items() if "patch" in tokens else ():
        if patch > size or -size % patch % 2:
            fits = ", ".join(map(str, patch_sizes("patch", size)))
            fault = f"got {patch}, which does not tile {dataset} ({size}x{size}) symmetrically"
            yield Problem(path, fault, fits)


def _without_a_use(params: Params) -> Iterator[Problem]:
    """What is asked of the architecture and no cell of the study has a use for."""
    architecture, found = params.sweep.architecture, cells(params)
    attention = [cell for cell in found if "encoding" not in MODEL_KINDS[cell.model].lacks]
    got, users = architecture.encoding, encoded_by(architecture.encoding)
    if users and not any(cell.positional in users for cell in attention):
        fault = f"got {got!r}, which no cell of sweep.positional and sweep.model has a use for"
        accepts = f"auto, or {got} with positional {' or '.join(users)}"
        yield Problem(("sweep", "architecture", "encoding"), fault, accepts, "auto")
    patched = any(cell.tokens in PATCHED for cell in attention)
    staged = any("basis" not in MODEL_KINDS[cell.model].lacks for cell in found)
    with_patches = (None, patched, f"null, or a number with tokens {' or '.join(PATCHED)}")
    of_staged = "with model staged or staged_gcnn"
    uses = {
        "patch_size": with_patches,
        "max_tokens": with_patches,
        "basis": ("bilinear", staged, f"bilinear, or gaussian {of_staged}"),
        "kernel_size": (None, staged, f"null, or an odd number {of_staged}"),
    }
    for name, (unset, used, accepts) in uses.items():
        got = getattr(architecture, name)
        if got != unset and not used:
            fault = f"got {got!r}, which no cell of sweep.tokens and sweep.model has a use for"
            yield Problem(("sweep", "architecture", name), fault, accepts, unset or "null")
    window = architecture.window
    windowless = all("window" in MODEL_KINDS[cell.model].lacks for cell in found)
    if window is not None and windowless:
        fault = f"got {window}, which no model of the study has a use for"
        yield Problem(("sweep", "architecture", "window"), fault, "null with these models", "null")


def _table(params: Params) -> Iterator[Problem]:
    if params.sweep.architecture.encoding != "table":
        return
    for index, group in enumerate(params.sweep.group):
        if group not in KEEPS_AXES:
            yield Problem(
                ("sweep", "group", index),
                f"got {group!r} with sweep.architecture.encoding 'table', "
                "but its turns leave the pixel grid",
                f"{', '.join(KEEPS_AXES)} with a table, or any group with encoding 'auto'",
            )


MODEL_RULES = (
    _models,
    _window,
    _kernel_size,
    _patches,
    _table,
    _without_a_use,
    _width_and_heads,
    _fixed_width,
    _match,
    _nothing_searched,
)
