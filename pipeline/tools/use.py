"""Copy a study of studies/ to params.yaml after checking it here; without a name, list them."""

from __future__ import annotations

import importlib
import os
import shutil
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.common.commands import STAGES
from pipeline.common.errors import UserError
from pipeline.common.files import write_bytes
from pipeline.common.spelling import did_you_mean
from pipeline.common.units import duration, size
from pipeline.prepare.sources.image_files import plain_name
from pipeline.study.cells import runs_of
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.params import load_params, read_text, read_yaml
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.tools.summary import other_study

if TYPE_CHECKING:
    from pipeline.tools.support.forecast import Sizes

__all__ = [
    "FOLDER",
    "findings",
    "look_for",
    "main",
    "make_current",
    "refuse_while_running",
    "studies",
    "use",
]

ARGUMENTS = {"study": {"nargs": "?", "metavar": "STUDY", "help": "the name of a file in studies/"}}
FOLDER, PARAMS, BEFORE = Path("studies"), Path("params.yaml"), Path("params.before.yaml")


def main(given: Namespace) -> None:
    """Make a study the study, or list the studies."""
    use(given.study)


def use(name: str | None) -> None:
    """Check a study and write params.yaml; without a name, list the studies.

    Parameters
    ----------
    name
        Of a file in ``studies/``.
    """
    known = studies()
    if name is None:
        width = max(map(len, known), default=0)
        for study, path in known.items():
            print(f"{study:<{width}}  {_title(path)}")
        return
    if name not in known:
        guess = did_you_mean(name, list(known))
        raise UserError(f"got {name!r}; accepts {', '.join(known) or 'nothing'}{guess}")
    refuse_while_running()
    params = load_params(known[name])
    print(f"{name}: {_title(known[name])}", flush=True)
    for line in findings(params):
        print(f"{name}: {line}", flush=True)
    make_current(name, known)


def refuse_while_running() -> None:
    """Refuse to change params.yaml under a stage: the next stages, and dvc.lock, would mix studies.

    Raises
    ------
    UserError
        Naming the stage and its process.
    """
    from pipeline.tools.support.stage_running import stage_running

    for stage in STAGES:
        if (how := stage_running(stage)) is not None:
            raise UserError(f"{PARAMS}: {stage} is {how}: wait for the study, or end it")


def make_current(name: str, known: Mapping[str, Path]) -> None:
    """Write the study of this name to params.yaml; `known` are all studies and their files."""
    content = known[name].read_bytes().replace(b"$schema=../", b"$schema=", 1)
    if PARAMS.exists() and _values(PARAMS) not in map(_values, known.values()):
        write_bytes(BEFORE, PARAMS.read_bytes())
        print(f"{name}: what {PARAMS} said before is kept in {BEFORE}")
    write_bytes(PARAMS, content)
    print(f"{name}: {PARAMS} is written; `make study` runs it")
    if (other := other_study()) is not None:
        print(f"{name}: {other}")


def studies() -> dict[str, Path]:
    """Return the files of `studies/` by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def _title(path: Path) -> str:
    """What the first line of a study says, after the one that names its schema for editors."""
    lines = (line for line in read_text(path).splitlines() if "$schema=" not in line)
    return plain_name(next(lines, "").lstrip("# "))


def _values(path: Path) -> Any:
    """What a parameter file says, its comments aside; of a damaged file, its bytes."""
    try:
        return read_yaml(path).values
    except UserError:
        return path.read_bytes()


def findings(params: Params) -> Iterator[str]:
    """Say what this machine has and what the study will take."""
    import torch  # seconds to import: not for the list of studies

    from pipeline.execution.parallel_trials import parallel_here
    from pipeline.tools.support import gpu_hours
    from pipeline.tools.support.forecast import estimate_seconds, space, stand_in

    sizes: dict[str, Sizes] = {}
    for dataset in params.prepare.datasets:
        found, sentence = look_for(params, dataset)
        yield f"data: {sentence}"
        if found:
            sizes[dataset] = found
    wanted, gpus = params.resources.gpus_per_trial, torch.cuda.device_count()
    if gpus:
        yield f"GPU: {gpus} here" + ("" if wanted else ", not used; set resources.gpus_per_trial")
    elif wanted:
        yield "GPU: none here, but each trial asks for one: set resources.gpus_per_trial: 0"
    else:
        yield "GPU: none here, none needed"
    if not sizes:
        return
    disk, memory = map(sum, zip(*map(space, sizes.values()), strict=True))
    free = shutil.disk_usage(".").free
    yield f"disk: {size(disk)} while preparing, {size(free)} free" + _short(disk, free)
    workers, here = parallel_here(params), _memory()
    yield (
        f"memory: {size(memory)} of images, which {workers} workers share, {size(here)} here"
        + _short(memory, here)
    )
    trials = sum(len(searched(params, name)) for name in params.prepare.datasets)
    device = "cuda" if gpus and wanted else "cpu"
    seconds = estimate_seconds(params, sizes, device)
    runs = sum(runs_of(params, name) for name in params.prepare.datasets)
    yield (
        f"time: about {duration(seconds)} for {trials * params.sweep.trials_per_cell} trials and "
        f"{runs} runs, by a few steps on this {device}, as in `plan`"
    )
    if wanted:
        yield gpu_hours.sentence(params, (stand_in(name, one) for name, one in sizes.items()))


def _short(wanted: float, here: float) -> str:
    return "" if wanted < here else ": NOT ENOUGH"


def _memory() -> float:
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else 0.0


def look_for(params: Params, name: str) -> tuple[Sizes | None, str]:
    """Look for a data set without preparing it; its sizes if they are known, and a sentence."""
    from pipeline.prepare.fetch.raw_files import missing_files
    from pipeline.tools.support.forecast import Sizes

    per_class = sized(name, params.prepare.sources)[1]
    if per_class is not None:
        prepare = params.prepare.model_copy(update={"images_per_class": per_class})
        params = params.model_copy(update={"prepare": prepare})
    source = params.prepare.known_source(name)
    if source is None:
        return _own_data(params, name)
    read = (1 + source.unpacks) * source.channels * source.image_size**2
    side = source.image_size // params.prepare.shrink
    sizes = _counted(params, Sizes(source.channels, source.classes, side, read), dict(source.given))
    if not source.raw:
        return sizes, f"{name} comes with the environment"
    absent = missing_files(source.raw, importlib.import_module(SOURCES[source.raw].module).FILES)
    if not absent:
        return sizes, f"{name} is here"
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return sizes, (
        f"{name} is not here; prepare will fetch {absent[0].name}{more}, or put them into "
        f"{absent[0].parent}"
    )


def _own_data(params: Params, name: str) -> tuple[Sizes | None, str]:
    from pipeline.prepare.sources.location import check_locations
    from pipeline.prepare.sources.open_source import open_source
    from pipeline.tools.support.forecast import Sizes

    try:
        check_locations(params.prepare)
        opened = open_source(name, params.prepare, Path())
    except UserError as error:
        return None, f"{name} cannot be used yet: {error.problems[0]}"
    source = opened.source
    read = source.channels * source.image_size**2
    sizes = Sizes(source.channels, source.classes, source.image_size, read)
    counts = {part: len(images) for part, images in opened.given.items()}
    own = params.prepare.sources[sized(name, params.prepare.sources)[0]]
    what = "image files, readable or not," if own.kind == "folder" else "images"
    return _counted(params, sizes, counts), (
        f"{name} is here: {sum(counts.values()):,} {what} in {source.classes} classes"
    )


def _counted(params: Params, sizes: Sizes, given: dict[str, int]) -> Sizes:
    """Say how many images each split will have; `sizes` are of one image."""
    prepare = params.prepare
    whole = given.get("all", 0)
    train = given.get("train", 0)
    test = given.get("test", round(whole * prepare.test_fraction))
    validation = given.get("validation", round((whole or train) * prepare.validation_fraction))
    train = (whole - test if whole else train) - (0 if "validation" in given else validation)
    train = round(train * prepare.train_fraction)
    if prepare.images_per_class is not None:
        train = min(train, prepare.images_per_class * sizes.num_classes)
    test = min(test, prepare.test_images or test)
    read = sizes.read_bytes * sum(given.values())
    return replace(sizes, read_bytes=read, train=train, validation=validation, test=test)
