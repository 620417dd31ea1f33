"""Write a study of a folder of images to params.yaml; `make study` then runs it.

Number of classes, sizes, colour, splits and symmetry are found in the images, never asked for. The
images are read as `prepare` reads them, so that `make study` does not read them a second time.
"""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.common.files import write_bytes
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.values import NAME
from pipeline.tools.use import FOLDER, findings, make_current, refuse_while_running, studies

__all__ = ["main", "new"]

ARGUMENTS = {
    "name": {"metavar": "NAME", "help": "of the study, and of its file in studies/"},
    "folder": {"metavar": "FOLDER", "help": "images, a sub-folder for each class"},
}
SCRATCH = Path(".state/new")


def main(given: Namespace) -> None:
    """Write the study and say what was found."""
    new(given.name, Path(given.folder).expanduser())


def new(name: str, folder: Path) -> None:
    """Write ``studies/NAME.yaml`` and ``params.yaml`` for a folder of images.

    Raises
    ------
    UserError
        The name is taken or none, or the folder is not one of labelled images.
    """
    _check_name(name)
    refuse_while_running()
    from pipeline.prepare.sources.location import RAW, within_raw
    from pipeline.prepare.stage import OUTPUT, prepare_dataset, work_folder
    from pipeline.study.params import load_params
    from pipeline.tools.support.study_of_folder import (
        holds_links_to,
        link_files,
        names_say,
        settings_of,
        study_text,
        without_groups,
    )

    place = folder if within_raw(folder) else RAW / name
    if place != folder and place.exists() and not holds_links_to(folder, place):
        raise UserError(f"{place}: is there already; name that folder, or take another name")
    settings, beginnings = settings_of(name, folder)
    scratch = SCRATCH / name
    with work_folder(OUTPUT) as work:
        try:
            prepare_dataset(name, settings, scratch, work / name)
        except UserError as error:
            if settings.sources[name].group_pattern is None:
                raise
            settings = without_groups(name, settings)
            prepare_dataset(name, settings, scratch, work / name)
            print(f"{name}: images with the same beginning are not kept in one split: {error}")
    for line in names_say(settings.sources[name], beginnings):
        print(f"{name}: {line}")
    print(f"{name}: look at {scratch / 'samples.png'}: images of each class as networks get them")
    card = read_json(scratch / "card.json", "run the same command again")
    if place != folder:
        link_files(folder, place)
        print(f"{name}: {place} has links to the files of {folder}, where DVC sees them")
    draft, path = scratch / "study.yaml", FOLDER / f"{name}.yaml"
    write_bytes(draft, study_text(name, place, settings, card, beginnings).encode())
    found = list(findings(load_params(draft)))
    for line in found:
        print(f"{name}: {line}", flush=True)
    write_bytes(path, study_text(name, place, settings, card, beginnings, found).encode())
    print(f"{name}: {path} says what was found and chosen")
    make_current(name, studies())


def _check_name(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"got {name!r} as a name; accepts 1 to 64 letters, digits, '-' and '_', the first a "
            "letter or digit"
        )
    if path.exists():
        raise UserError(f"{path}: is there already; take another name, or remove it")
    if sized(name)[0] in SOURCES:
        raise UserError(f"got {name!r} as a name, which is a published data set: take another name")
