"""Rules that tie parameters together: each function yields what breaks one rule."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.study.messages import Problem
from pipeline.study.rules.cells import CELL_RULES
from pipeline.study.rules.data import DATA_RULES
from pipeline.study.rules.models import MODEL_RULES
from pipeline.study.rules.search import SEARCH_RULES
from pipeline.study.rules.whole import STUDY_RULES
from pipeline.study.schema import Params

__all__ = ["broken_rules"]


def broken_rules(params: Params) -> Iterator[Problem]:
    """Yield a problem for every rule that a well-formed study breaks."""
    for rule in (*DATA_RULES, *MODEL_RULES, *CELL_RULES, *SEARCH_RULES, *STUDY_RULES):
        yield from rule(params)
