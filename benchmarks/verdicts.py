"""False verdicts and power of the report's analysis, simulated: `python benchmarks/verdicts.py`.

Scores come from a probit model: an image is classified rightly where the level of its cell, the
image's difficulty (shared by all cells), cell by image, the group of the image, cell by group, the
run, and noise add up to more than zero. Levels are set such that expected accuracies are exact
whatever the spread, so cells that should be equal are. Prints Markdown tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from pipeline.report.analysis.contrasts import Estimates, Sample, estimate
from pipeline.report.analysis.statistics import holm

ALPHA, MARGIN, SEEDS = 0.05, 0.01, (1, 3, 5, 10)
IMAGE, CELL_IMAGE = 1.5, 0.7  # standard deviations of the image's difficulty, cell by image


@dataclass(frozen=True)
class Setting:
    """A made-up study; cell 0 is the baseline."""

    name: str
    accuracy: tuple[float, ...]
    spread: tuple[float, ...]  # standard deviation of runs, by cell
    images: int = 450
    groups: int = 0
    group_spread: float = 0.0

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.accuracy)


def draw(setting: Setting, seeds: int, generator: np.random.Generator) -> Sample:
    """Draw the scores of a study."""
    c, m = setting.cells, setting.images
    accuracy, spread = np.array(setting.accuracy), np.array(setting.spread)
    total = 1 + IMAGE**2 + CELL_IMAGE**2 + spread**2 + 2 * setting.group_spread**2
    level = special.ndtri(accuracy) * np.sqrt(total)
    latent = CELL_IMAGE * generator.standard_normal((c, m), dtype=np.float32)
    latent += IMAGE * generator.standard_normal(m, dtype=np.float32) + level[:, None]
    groups = None
    if setting.groups:
        groups = np.arange(m) % setting.groups
        shared, own = generator.standard_normal((2, c, setting.groups))
        latent += setting.group_spread * (shared[:1] + own)[:, groups]
    runs = spread[:, None] * generator.standard_normal((c, seeds))
    right, scores = np.zeros((c, m), dtype=np.float32), np.empty((c, seeds))
    for seed in range(seeds):
        noise = generator.standard_normal((c, m), dtype=np.float32)
        found = noise < latent + runs[:, seed, None].astype(np.float32)
        right += found
        scores[:, seed] = found.mean(axis=1)
    variance = scores.var(axis=1, ddof=1) if seeds > 1 else np.zeros(c)
    return Sample(scores.mean(axis=1), variance, np.full(c, seeds), m, right / seeds, groups)


def against_baseline(cells: int) -> np.ndarray:
    """Weights of every other cell against the first."""
    weights = np.zeros((cells - 1, cells))
    weights[:, 0], weights[np.arange(cells - 1), np.arange(1, cells)] = -1, 1
    return weights


def averaged(cells: int) -> np.ndarray:
    """Weights of the second half of the cells against the first."""
    half = cells // 2
    return np.repeat([[-1.0, 1.0]], half, axis=1) / half


def rates(setting: Setting, seeds: int, studies: int, generator: np.random.Generator) -> dict:
    """Share of studies with a false verdict, shares of effects found and of false equality."""
    truth = np.array(setting.accuracy[1:]) - setting.accuracy[0]
    equal, weights = np.abs(truth) < 1e-12, against_baseline(setting.cells)
    false, found, same, mean = [], [], [], []
    for _ in range(studies):
        sample = draw(setting, seeds, generator)
        rows = estimate(sample, weights)
        decided = holm(rows.p) < ALPHA
        false.append(decided[equal].any() if equal.any() else False)
        found.append(
            (decided & (np.sign(rows.difference) == np.sign(truth)))[~equal].mean()
            if not equal.all()
            else np.nan
        )
        same.append(
            within(rows)[np.abs(truth) >= MARGIN - 1e-12].mean()
            if (np.abs(truth) >= MARGIN - 1e-12).any()
            else np.nan
        )
        mean.append(estimate(sample, averaged(setting.cells)).p[0] < ALPHA)
    return {"false": np.mean(false), "found": np.mean(found), "same": np.mean(same),
            "mean": np.mean(mean)}  # fmt: skip


def within(rows: Estimates) -> np.ndarray:
    """Whether the two one-sided tests find a difference within the margin."""
    low, high = rows.interval(1 - 2 * ALPHA)
    return (low > -MARGIN) & (high < MARGIN)


def even(name: str, cells: int = 14, accuracy: float = 0.9, spread: float = 0.15, **other: object
         ) -> Setting:  # fmt: skip
    """Equal cells."""
    return Setting(name, (accuracy,) * cells, (spread,) * cells, **other)  # type: ignore[arg-type]


def one_spread(setting: Setting, place: int, spread: float, name: str) -> Setting:
    """Give one cell another spread of runs."""
    spreads = list(setting.spread)
    spreads[place] = spread
    return replace(setting, name=name, spread=tuple(spreads))


def mixture(name: str, levels: tuple[float, float], cells: int = 14, **other: object) -> Setting:
    """Half of the cells at each of two levels; the baseline at the first."""
    return Setting(name, tuple(levels[i % 2] for i in range(cells)), (0.15,) * cells, **other)  # type: ignore[arg-type]
