"""Why the code of a module breaks a symmetry: it is run again with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from gsa_core.check.representations import Representation, permuted
from gsa_core.check.trials import CANNOT_RUN, Trial, is_own, of_library
from gsa_core.groups import PointGroup

__all__ = ["causes_in_code"]

MOST_VALUES = 16  # parameters that are tried one by one
_ENCODINGS = {
    "absolute": "does not give positions that turn with the image",
    "relative": "is not a function of h^-1 d",
    "rotary": "is not a function of h^-1 d",
}
_INVERSE = (
    "its frames move as h -> h s instead of s^-1 h: weights, a one-hot or an index are in the "
    "order of the inverse elements"
)


def causes_in_code(trial: Trial) -> list[str]:
    """Sentences about a symmetry that the code of a module's own ``forward`` breaks."""
    runs, module = trial.runs(), trial.module
    tries: list[Callable[[], list[str]]] = []
    if of_library(module):
        tries.append(lambda: [*_of_group(trial)])
        if runs:
            tries.append(lambda: [*_of_encodings(trial)])
    elif runs:
        tries.append(lambda: _of_values(trial, [*_candidates(trial)]))
    else:
        tries.append(lambda: [*_by_shape(trial)])
    if runs and is_own(module):
        tries += [
            lambda: [*_of_order(trial)],
            lambda: _of_values(trial, [*_candidates(trial, by_size=True)]),
            lambda: [*_of_parts(trial)],
        ]
    for attempt in tries:
        try:
            if found := attempt():
                return found
        except CANNOT_RUN:  # on features that are moved in an unusual way
            pass
    return [_unknown(trial)] if is_own(module) else []


def _unknown(trial: Trial) -> str:
    operation = "an operation in it"
    if trial.after:
        operation = f"an operation after {trial.after}, the last whose output transforms,"
    return (
        f"{operation} depends on position or on the order of frames (padding, slicing, shifting, "
        "flipping), or gives a layout that this check does not know"
    )


def _of_group(trial: Trial) -> Iterator[str]:
    """A layer of this library for another group."""
    group, asked = getattr(trial.module, "group", None), trial.reader.group
    if not isinstance(group, PointGroup):
        return
    if group.rotations % asked.rotations or (asked.mirrors and not group.mirrors):
        yield f"it is a layer of {group.name}, which lacks elements of {asked.name}"


def _of_encodings(trial: Trial) -> Iterator[str]:
    """A positional encoding that is the user's, without which a layer is equivariant."""
    for name, what in _ENCODINGS.items():
        encoding = getattr(trial.module, name, None)
        if not isinstance(encoding, nn.Module) or not is_own(encoding):
            continue
        setattr(trial.module, name, None)
        try:
            right = trial.transforms()
        finally:
            setattr(trial.module, name, encoding)
        if right:
            yield (
                f"its positional encoding ({name}: {type(encoding).__name__}) {what}: without it "
                "the layer is equivariant"
            )


def _by_shape(trial: Trial) -> Iterator[str]:
    """Own parameters that the module, which cannot be run again, may add."""
    for name, _, what in _candidates(trial):
        if "." not in name:
            yield f"it may add {name}, which has a value for each {what}"


def _of_values(trial: Trial, candidates: list[tuple[str, Tensor, str]]) -> list[str]:
    """Parameters with a value for each position or frame, without which the module is right."""
    found = [x for x in candidates[:MOST_VALUES] if _levelled(trial, [x])]
    if not found and len(candidates) > 1 and _levelled(trial, candidates):
        found = candidates
    return [f"it uses {name}, which has a value for each {what}" for name, _, what in found]


def _levelled(trial: Trial, parameters: list[tuple[str, Tensor, str]]) -> bool:
    """Whether the module is right where these parameters have their mean everywhere."""
    kept = [parameter.detach().clone() for _, parameter, _ in parameters]
    for _, parameter, _ in parameters:
        parameter.copy_(parameter.mean().expand_as(parameter))
    try:
        return trial.transforms()
    finally:
        for (_, parameter, _), values in zip(parameters, kept, strict=True):
            parameter.copy_(values)


def _candidates(trial: Trial, by_size: bool = False) -> Iterator[tuple[str, Tensor, str]]:
    """Parameters and buffers of the user's modules with an axis of positions or of frames."""
    regular = [way for way in trial.reader.layouts(trial.broken) if way.name == "regular"]
    ways = [(trial.broken, trial.guess), *((trial.broken, way) for way in regular)]
    ways.append((trial.inputs, trial.how))
    for prefix, module in trial.module.named_modules():
        holds = isinstance(module, nn.Embedding | nn.ParameterList | nn.ParameterDict)
        if of_library(module) or not (is_own(module) or holds):
            continue
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, parameter in own:
            if not parameter.is_floating_point() or parameter.numel() < 2:
                continue
            known = (_varies_along(parameter, x, way) for x, way in ways)
            what = next(filter(None, known), None)
            if what is None and by_size:
                what = _has_sizes(parameter, trial)
            if what:
                yield f"{prefix}.{name}" if prefix else name, parameter, what


def _varies_along(parameter: Tensor, features: Tensor, how: Representation) -> str | None:
    """Whether a parameter that is added to features has values for positions, or for frames."""
    missing = features.ndim - parameter.ndim
    tokens = ("c", "p", "c") if features.ndim == 3 else ()
    layout = how.layout or tokens
    if missing < 0 or len(layout) != features.ndim:
        return None
    shape = (1,) * missing + tuple(parameter.shape)
    if any(x not in (1, y) for x, y in zip(shape[1:], features.shape[1:], strict=True)):
        return None
    letters = "".join(axis for axis, size in zip(layout, shape, strict=True) if size > 1)
    if set("hwp") & set(letters):
        return "position"
    return "frame" if "g" in letters else None


def _has_sizes(parameter: Tensor, trial: Trial) -> str | None:
    """Whether a parameter has the sizes of an image, or as many rows as there are frames."""
    sizes = set(parameter.shape) - {1}
    if parameter.ndim > 1 and set(trial.inputs.shape[-2:]) <= sizes:
        return "position"
    order = trial.reader.group.order
    return "frame" if parameter.ndim < 3 and order in sizes and trial.how.regular else None


def _of_order(trial: Trial) -> Iterator[str]:
    """Frames in the order of other elements."""
    usual, inverse = trial.action(frames="moved"), trial.action(frames="inverse")
    if not trial.how.regular:
        return
    if trial.commutes(usual, inverse) or trial.commutes(inverse, usual):
        yield _INVERSE
    elif _another_order(trial):
        yield "it gives the frames in another order than that of the group's elements"
    elif trial.commutes(inverse, inverse):
        yield _INVERSE


def _of_parts(trial: Trial) -> Iterator[str]:
    """Whether positions or the order of frames alone break it."""
    image = "h" in trial.how.layout and not any(trial.reader.layouts(trial.broken))
    frames = trial.action(frames="moved", space=False)
    space = trial.action(frames="kept")
    if image or (trial.how.regular and trial.commutes(frames, frames)):
        yield (
            "it depends on the position in the image, as a shift, a flip, a crop, padding on one "
            "side or values for each position do"
        )
    elif trial.how.regular and trial.commutes(space, space):
        yield (
            "it depends on the order of frames: it mixes or selects frames, or has values for each"
        )


def _another_order(trial: Trial) -> bool:
    """Whether frames of the output are those of the output moved, in some order."""
    moved = {s: trial.run(trial.how.act(s, trial.inputs)) for s in trial.elements}
    space = trial.action(frames="kept")
    for way in trial.reader.layouts(trial.broken):
        if "g" not in way.layout:
            continue
        axis = way.layout.index("g")
        if all(
            x is not None and permuted(x, space(way, s, trial.broken), axis, trial.limit)
            for s, x in moved.items()
        ):
            return True
    return False
