"""Everything the figures, tables and sentences are made from, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.report.analysis import comparisons, effects, ensembles, overall, overview, rivals
from pipeline.report.analysis.bootstrap import with_bootstrap
from pipeline.report.analysis.cells import finished, summarise, with_ids
from pipeline.report.analysis.checks import Check, run_checks
from pipeline.report.analysis.choices import choices
from pipeline.report.analysis.importance import importances
from pipeline.report.analysis.samples import sources_of, with_intervals
from pipeline.report.analysis.size_curve import size_curves
from pipeline.report.analysis.subgroups import subgroups
from pipeline.report.load import Settings, Study
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.names import images_order

# Resampling in the report always starts here: same rows, same report.
RANDOM_SEED = 20_240_601


@dataclass(frozen=True)
class Analysis:
    """The tables of a study with cell ids attached, its comparisons and checks."""

    study: Study
    cells: pd.DataFrame
    runs: pd.DataFrame
    trials: pd.DataFrame
    curves: pd.DataFrame
    angles: pd.DataFrame
    layers: pd.DataFrame
    comparisons: pd.DataFrame
    effects: pd.DataFrame
    rivals: pd.DataFrame
    ensembles: pd.DataFrame
    size_curves: pd.DataFrame
    size_gaps: pd.DataFrame
    overview: pd.DataFrame
    choices: pd.DataFrame
    overall: pd.DataFrame
    importances: pd.DataFrame
    subgroups: pd.DataFrame
    checks: list[Check]
    palette: Palette

    @property
    def settings(self) -> Settings:
        """What the report was asked for."""
        return self.study.settings

    @property
    def hierarchy(self) -> pd.DataFrame:
        """The measured errors of untrained networks."""
        return self.study.hierarchy

    @property
    def drawn(self) -> pd.DataFrame:
        """The cells with at least one finished run."""
        return self.cells[self.cells["runs_finished"] > 0]

    @property
    def whole(self) -> pd.DataFrame:
        """The drawn cells with the most training images of their data set."""
        return whole_of(self.cells)


def whole_of(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with a finished run and the most training images of their data set."""
    drawn = cells[cells["runs_finished"] > 0]
    images = drawn["training_images"].map(lambda name: images_order(name)[0])
    return drawn[images == images.groupby(drawn["dataset"]).transform("max")]


def analyse(study: Study) -> Analysis:
    """Compute all that the report says."""
    generator = np.random.default_rng(RANDOM_SEED)
    cells = summarise(study)
    runs = with_ids(study.runs, cells)
    runs.insert(0, "run", np.arange(len(runs)))
    done = finished(runs)
    sources = sources_of(study, runs)
    cells = with_intervals(cells, sources, study.settings.confidence)
    cells = with_bootstrap(cells, sources, study.settings.confidence, generator)
    compared = comparisons.against_baseline(sources, cells, study.settings)
    curves, gaps = size_curves(sources, cells, study.settings, generator)
    return Analysis(
        study=study,
        cells=cells,
        runs=runs,
        trials=with_ids(study.trials, cells),
        curves=with_ids(study.curves, cells),
        angles=with_ids(study.angles, cells),
        layers=with_ids(study.layers, cells),
        comparisons=compared,
        effects=effects.axis_effects(sources, cells, study.settings),
        rivals=rivals.rivals(sources, cells, study.settings),
        ensembles=ensembles.ensembles(cells, sources, study.settings.confidence),
        size_curves=curves,
        size_gaps=gaps,
        overview=overview.overview(whole_of(cells), study, sources),
        choices=choices(cells, done, study, sources),
        overall=overall.interquartile_means(done, study.settings, generator),
        importances=importances(study.trials, generator),
        subgroups=subgroups(sources, whole_of(cells), study.settings),
        checks=run_checks(cells, done, compared, study),
        palette=Palette.of(cells),
    )
