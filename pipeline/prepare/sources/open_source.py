"""Open a data set of the study: a published one, or the user's own folder, arrays or Parquet."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.common.errors import UserError
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.labelled_images import GivenSplits, InspectableReader
from pipeline.prepare.labels.classes import LabelledSource
from pipeline.prepare.sources import arrays, folder, parquet
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.survey import Survey
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.source import Source

if TYPE_CHECKING:
    from pipeline.study.schema import OwnSource, Prepare


@dataclass(frozen=True)
class OpenedSource:
    """A data set that is ready to be read.

    Attributes
    ----------
    source
        Its name, shape, classes and origin.
    given
        Its images and labels, by given split.
    facts
        Other entries of its card.
    survey
        Makes the choices that depend on all images; None for a published data set.
    outside
        Where it lies, if that is not within the project.
    frame
        What is around images that are framed, from 0 to 1, or ``edge``.
    borders
        The same of what was found at the borders of the images, once they were read.
    """

    source: Source
    given: GivenSplits
    facts: dict[str, Any] = field(default_factory=dict)
    survey: Survey | None = None
    outside: Path | None = None
    frame: float | str | None = None
    borders: float | str = 0

    @property
    def background(self) -> float | str:
        """What lies outside of an image, from 0 to 1, or ``edge``; known once all were read."""
        if self.frame is not None:
            return self.frame
        declared = self.facts.get("stored_values", {}).get("background")
        chosen = self.survey.facts().get("background", {}) if self.survey else {}
        named = chosen.get("chosen", declared)
        return int(named == "white") if named in ("black", "white") else self.borders


def open_source(name: str, settings: Prepare, scratch: Path) -> OpenedSource:
    """Open a data set by its name.

    Parameters
    ----------
    name
        Of `SOURCES`, or of ``prepare.sources``, perhaps with a number of training
        images of each class, as in ``mnist-20`` (`pipeline.study.datasets.sized`).
    settings
        The section of params.yaml.
    scratch
        A folder for what has to be unpacked; it is kept when the preparation is interrupted.
    """
    known, _ = sized(name, settings.sources)
    if known in SOURCES:
        found = settings.known_source(name)
        assert found is not None
        source = replace(found, name=name)
        read = importlib.import_module(source.module).read
        if source.generated:
            return OpenedSource(source, read(source, settings.seed))
        return OpenedSource(source, read(scratch) if source.unpacks else read())
    own = settings.sources[known]
    path = _location(own)
    survey = Survey(scratch / "survey.json", name, own.value_range)
    labelled = _labelled(own, path, survey)
    if "auto" in (own.value_range, own.background):
        survey.bind(cast(InspectableReader, images.images) for images in labelled.given.values())
    source = Source(
        name=name,
        title=own.title or name,
        module="",
        image_size=own.side,
        channels=own.channels,
        classes=len(labelled.class_names),
        address=Path(own.path).name,
        licence=own.licence or "not stated",
        citation=own.citation or "not stated",
        remarks=own.remarks or "",
        class_names=labelled.class_names,
    )
    notes = list(labelled.notes)
    if not isinstance(own.size, int) and len(set(own.size)) > 1:
        rows, columns = own.size
        notes.append(
            f"images of {rows}x{columns} pixels are in the middle of squares of {own.side}x"
            f"{own.side}, so that quarter turns keep all of them"
        )
    facts = {
        "kind": own.kind,
        "size": own.size,
        "fit": own.fit,
        "pad_value": own.pad_value if own.framed else None,
        "stored_values": {"value_range": own.value_range, "background": own.background},
        "splits": own.splits,
        "classes_left_out": labelled.left_out,
        "files_left_out": labelled.ignored,
        **({"notes": notes} if notes else {}),
    }
    inside = path.resolve().is_relative_to(Path.cwd().resolve())
    outside = None if inside else path.resolve()
    return OpenedSource(source, labelled.given, facts, survey, outside, _frame(own))


def _frame(own: OwnSource) -> float | str | None:
    if not own.framed:
        return None
    whole = own.dtype == "uint8" and not isinstance(own.pad_value, str)
    return float(own.pad_value) / 255 if whole else own.pad_value


def _location(own: OwnSource) -> Path:
    """Return the path that a parameter file names; environment variables are not replaced."""
    try:
        path = Path(own.path).expanduser()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{plain_name(own.path)}: cannot be read ({reason}): fix the path in prepare.sources"
        ) from None
    if not found:  # a clone of a colleague's study has no images
        what = "folder" if own.kind == "folder" else "file or folder"
        raise UserError(
            f"{plain_name(path)}: there is no such {what}: bring the images there, or correct the "
            "path in prepare.sources"
        )
    return path


def _labelled(own: OwnSource, path: Path, survey: Survey) -> LabelledSource:
    target = Target(
        own.side,
        own.fit,
        own.channels,
        own.dtype,
        value_range=own.value_range,
        background=own.background,
        pad_value=own.pad_value,
        rectangle=None if isinstance(own.size, int) else own.size,
        survey=survey,
    )
    common: dict[str, Any] = {
        "splits": own.splits if "splits" in own.model_fields_set else None,
        "min_count": own.min_count,
        "skip": own.on_bad_image == "skip",
    }
    if own.kind == "folder":
        return folder.read(path, target, group_pattern=own.group_pattern, **common)
    if own.kind == "arrays":
        return arrays.read(path, target, **common)
    return parquet.read(
        path,
        target,
        image_column=own.image_column,
        label_column=own.label_column,
        group_column=own.group_column,
        **common,
    )
