"""Reads params.yaml: the only place that does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from pipeline.common.errors import UserError
from pipeline.study.messages import Problem, explain
from pipeline.study.rules.cells import CELL_RULES
from pipeline.study.rules.data import DATA_RULES
from pipeline.study.rules.models import MODEL_RULES
from pipeline.study.rules.search import SEARCH_RULES
from pipeline.study.rules.whole import STUDY_RULES
from pipeline.study.schema import Params
from pipeline.study.yaml_reader import read_yaml

__all__ = ["broken_rules", "load_params"]


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read a study.

    Parameters
    ----------
    path
        A YAML file of the form of the project's own ``params.yaml``.

    Raises
    ------
    UserError
        With one line for every problem: file, line, key path, what it got, what it accepts and
        what was probably meant.
    """
    document = read_yaml(Path(path))
    problems: list[Problem]
    try:
        params = Params.model_validate(document.values)
    except ValidationError as error:
        problems = explain(error, Params, document.values)
    else:
        problems = list(broken_rules(params))
    if problems:
        raise UserError(*(problem.sentence(document) for problem in problems))
    return params


def broken_rules(params: Params) -> Iterator[Problem]:
    """Yield a problem for every rule that a well-formed study breaks."""
    for rule in (*DATA_RULES, *MODEL_RULES, *CELL_RULES, *SEARCH_RULES, *STUDY_RULES):
        yield from rule(params)
