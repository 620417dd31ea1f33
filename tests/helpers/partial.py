"""The parts of an analysis that a test looks at, computed from a study without the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.report.analysis import comparisons, effects, overview, rivals, subgroups
from pipeline.report.analysis.analysis import whole_of
from pipeline.report.analysis.cells import finished, summarise, with_ids
from pipeline.report.analysis.checks import Check, run_checks
from pipeline.report.analysis.samples import Source, sources_of
from pipeline.report.load import Settings, Study, load_study


@dataclass(frozen=True)
class Partial:
    """As `Analysis`: each part is computed when it is asked for.

    Cells have intervals over seeds alone, not those over test images.
    """

    study: Study

    @classmethod
    def of(cls, data: Path, study: str = "digits", **settings: Any) -> Partial:
        """Read the study below a folder."""
        return cls(load_study(Settings(study, **settings), data))

    @property
    def settings(self) -> Settings:
        return self.study.settings

    @cached_property
    def cells(self) -> pd.DataFrame:
        return summarise(self.study)

    @cached_property
    def runs(self) -> pd.DataFrame:
        return with_ids(self.study.runs, self.cells)

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        return sources_of(self.study, self.runs)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return comparisons.against_baseline(self.sources, self.cells, self.settings)

    @cached_property
    def effects(self) -> pd.DataFrame:
        return effects.axis_effects(self.sources, self.cells, self.settings)

    @cached_property
    def rivals(self) -> pd.DataFrame:
        return rivals.rivals(self.sources, self.cells, self.settings)

    @cached_property
    def overview(self) -> pd.DataFrame:
        return overview.overview(whole_of(self.cells), self.study, self.sources)

    @cached_property
    def subgroups(self) -> pd.DataFrame:
        return subgroups.subgroups(self.sources, whole_of(self.cells), self.settings)

    @cached_property
    def checks(self) -> list[Check]:
        return run_checks(self.cells, finished(self.runs), self.comparisons, self.study)
