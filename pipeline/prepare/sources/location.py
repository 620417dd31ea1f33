"""Refuse a user's data outside data/raw/ or behind links, whose changes DVC would not notice."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import UserError
from pipeline.prepare.sources.image_files import plain_name
from pipeline.study.datasets import SOURCES, sized

if TYPE_CHECKING:
    from pipeline.study.schema import Prepare

RAW = Path("data/raw")
# DVC runs experiments of a queue, or with --temp, in a copy of what git holds, below this folder.
_COPIES = "/.dvc/tmp/exps/"


def check_locations(settings: Prepare) -> None:
    """Refuse own data sets of which DVC would not notice a change, in a project that has DVC.

    Parameters
    ----------
    settings
        The section of params.yaml; data sets that the study does not use are not checked.

    Raises
    ------
    UserError
        For a path outside data/raw, for links to folders, which DVC does not look behind, and
        for links to nothing, which it cannot read; each with the command that helps.
    """
    problems: list[str] = []
    if not Path(".dvc").is_dir():
        return
    for dataset in settings.datasets:
        name = sized(dataset, settings.sources)[0]
        own = settings.sources.get(name)
        if own is not None and name not in SOURCES:
            problems += list(_problems(name, Path(own.path).expanduser()))[:3]
    if problems:
        raise UserError(*problems)


def within_raw(path: Path) -> bool:
    """Whether DVC notices a change at a path, because it is below data/raw or there is no DVC."""
    inside = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(RAW)))
    return ".." not in inside.parts or not Path(".dvc").is_dir()


def _problems(name: str, path: Path) -> Iterator[str]:
    shown = f"prepare.sources.{name}.path: {plain_name(path)}"
    inside = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(RAW)))
    if ".." in inside.parts:
        yield (
            f"{shown} is outside {RAW}, so that DVC would not notice when it changes: run "
            f"`{_link(path.absolute(), RAW / name)}` and set path: {RAW / name}"
        )
        return
    if inside.parts and inside.parts[0] in _published():
        yield (
            f"{shown} is in {RAW / inside.parts[0]}, which is for a published data set and not "
            f"looked at by DVC: move it to another folder of {RAW}"
        )
        return
    whole = RAW / inside
    if not os.path.lexists(whole):
        if _COPIES in Path.cwd().as_posix():
            yield (
                f"{shown} is not in this copy, which has what git holds: run the experiment "
                "without --temp and --queue"
            )
        return  # a missing file is reported when it is opened
    folders = [RAW.joinpath(*inside.parts[:end]) for end in range(1, len(inside.parts) + 1)]
    yield from (
        problem for entry in (*folders, *_below(whole)) if (problem := _link_problem(entry))
    )


def _published() -> set[str]:
    return {source.raw for source in SOURCES.values() if source.raw}


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *names))


def _link_problem(entry: Path) -> str | None:
    if not entry.is_symlink():
        return None
    if entry.is_dir():
        command = f"rm {shlex.quote(str(entry))} && {_link(entry.resolve(), entry)}"
        return (
            f"{plain_name(entry)}: is a link to a folder, behind which DVC does not look: run "
            f"`{command}`"
        )
    if not entry.exists():
        return f"{plain_name(entry)}: is a link to nothing, which DVC cannot read: remove it"
    return None


def _link(source: Path, place: Path) -> str:
    """The command that puts a folder or file at a place: as links to files, which DVC reads."""
    how = "cp -rs" if sys.platform == "linux" else "cp -r"
    return plain_name(f"{how} {shlex.quote(str(source))} {shlex.quote(str(place))}")
