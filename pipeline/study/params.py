"""Reads params.yaml: the only place that does."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.common.errors import UserError
from pipeline.study.messages import Problem, explain
from pipeline.study.rules import broken_rules
from pipeline.study.schema import Params
from pipeline.study.yaml_reader import read_yaml

__all__ = ["Params", "load_params"]


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
