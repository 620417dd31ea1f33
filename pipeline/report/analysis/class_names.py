"""What the card of a data set calls its classes."""

from __future__ import annotations

from pipeline.report.load import Study
from pipeline.report.text.formatting import plain


def class_names(study: Study, dataset: str) -> dict[int, str]:
    """Return the names of the classes by label; nothing where they are not known."""
    for source in study.sources:
        names = source.provenance.get("class_names")
        if source.datasets == (dataset,) and isinstance(names, list):
            return {label: plain(name, 40) for label, name in enumerate(names)}
    return {}


def class_name(study: Study, dataset: str, label: object) -> str:
    """Return the name of a class, or its number where it has none."""
    number = int(str(label))
    return class_names(study, dataset).get(number, str(number))
