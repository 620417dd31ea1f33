"""False verdicts and power of the report's analysis, simulated: `python benchmarks/verdicts.py`.

Scores come from a probit model: a run is right on an image where the level of its cell, the image's
difficulty (shared by all cells), cell by image, the image's group, cell by group, the run, and
noise add up to more than zero. Levels are set such that expected accuracies are exact whatever the
spreads, so cells that should be equal are. Prints Markdown tables; the argument scales the number
of simulated studies.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from pipeline.report.analysis.contrasts import Estimates, Sample, estimate
from pipeline.report.analysis.statistics import holm
from pipeline.results.provenance import provenance

ALPHA, MARGIN, SEEDS = 0.05, 0.01, (1, 3, 5, 10)
IMAGE, CELL_IMAGE = 1.5, 0.7  # standard deviations of an image's difficulty and of cell by image
SPREAD = 0.15  # of runs: at an accuracy of 90 %, 1.4 points


@dataclass(frozen=True)
class Setting:
    """A made-up study; cell 0 is the baseline, the second half of the cells the averaged effect."""

    name: str
    accuracy: tuple[float, ...]
    spread: tuple[float, ...]  # standard deviation of runs, by cell
    images: int = 450
    groups: int = 0
    group_spread: float = 0.0


def even(name: str, cells: int = 14, accuracy: float = 0.9, spread: float = SPREAD) -> Setting:
    """Equal cells."""
    return Setting(name, (accuracy,) * cells, (spread,) * cells)


def unstable(name: str, place: int, times: float, cells: int = 14) -> Setting:
    """Equal cells, one of which varies more over its runs."""
    spreads = [SPREAD] * cells
    spreads[place] *= times
    return replace(even(name, cells), spread=tuple(spreads))


def fonts(name: str, groups: int, images: int = 450, better: float = 0.0) -> Setting:
    """Test images in groups, each of which suits every cell by its own amount."""
    two = halves(name, better) if better else even(name)
    return replace(two, images=images, groups=groups, group_spread=0.3)


def halves(name: str, better: float, spread: float = SPREAD, cells: int = 14) -> Setting:
    """The second half of the cells better than the first."""
    level = (0.9,) * (cells // 2) + (0.9 + better,) * (cells // 2)
    return Setting(name, level, (spread,) * cells)


def mixed(name: str, first: float, second: float) -> Setting:
    """Cells at one level and at another in turn; the baseline at the first."""
    return Setting(name, (first, second) * 7, (SPREAD,) * 14)


EQUAL = (
    even("14 equal cells at 90 %"),
    even("14 equal cells at 98.5 %", accuracy=0.985),
    even("30 equal cells", cells=30),
    even("2 equal cells", cells=2),
    even("runs vary by 3.6 points", spread=0.4),
    unstable("baseline varies 4 times as much", 0, 4),
    unstable("another cell varies 4 times as much", 3, 4),
    unstable("baseline varies 4 times as much, 6 cells", 0, 4, cells=6),
    unstable("baseline varies 8 times as much", 0, 8),
    mixed("baseline and half of the cells at 22 %, half at 99 %", 0.22, 0.99),
    mixed("baseline and half of the cells at 99 %, half at 22 %", 0.99, 0.22),
    fonts("450 images of 4 fonts", 4),
    fonts("450 images of 6 fonts", 6),
    fonts("5,000 images of 4 fonts", 4, images=5000),
    replace(even("5,000 images"), images=5000),
)
POWER = (
    halves("2 points", 0.02),
    halves("4 points", 0.04),
    halves("4 points, runs hardly vary", 0.04, spread=0.02),
    replace(halves("2 points, 5,000 images", 0.02), images=5000),
    fonts("4 points, 5,000 images of 4 fonts", 4, images=5000, better=0.04),
    mixed("77 points", 0.22, 0.99),
)
SAME = (
    halves("1 point, the margin", 0.01),
    replace(halves("1 point, 5,000 images", 0.01), images=5000),
    replace(even("none, 5,000 images"), images=5000),
    replace(even("none, 5,000 images, runs hardly vary", spread=0.02), images=5000),
)


def draw(setting: Setting, seeds: int, generator: np.random.Generator) -> Sample:
    """Draw the scores of a study. With one seed a cell the networks are the cells: no spread."""
    accuracy = np.array(setting.accuracy)
    spread = np.array(setting.spread) * (seeds > 1)
    c, m = len(accuracy), setting.images
    total = 1 + IMAGE**2 + CELL_IMAGE**2 + spread**2 + 2 * setting.group_spread**2
    level = special.ndtri(accuracy) * np.sqrt(total)
    latent = CELL_IMAGE * generator.standard_normal((c, m), dtype=np.float32)
    latent += IMAGE * generator.standard_normal(m, dtype=np.float32) + level[:, None]
    groups = None
    if setting.groups:
        groups = np.arange(m) % setting.groups
        shared, own = generator.standard_normal((2, c, setting.groups))
        latent += (setting.group_spread * (shared[:1] + own))[:, groups]
    runs = (spread[:, None] * generator.standard_normal((c, seeds))).astype(np.float32)
    right, scores = np.zeros((c, m), dtype=np.float32), np.empty((c, seeds))
    for seed in range(seeds):
        found = generator.standard_normal((c, m), dtype=np.float32) < latent + runs[:, [seed]]
        right += found
        scores[:, seed] = found.mean(axis=1)
    variance = scores.var(axis=1, ddof=1) if seeds > 1 else np.zeros(c)
    right /= seeds
    noise = (right * (1 - right)).mean(axis=1) * seeds / max(seeds - 1, 1)
    return Sample(scores.mean(axis=1), variance, np.full(c, seeds), m, right, groups, noise)


def contrasts(cells: int) -> np.ndarray:
    """Weights of the averaged effect, then of every cell against the baseline."""
    half = cells // 2
    averaged = np.repeat([[-1.0, 1.0]], half, axis=1) / half
    pairs = np.eye(cells)[1:]
    pairs[:, 0] = -1
    return np.vstack([averaged, pairs])


def within(rows: Estimates) -> np.ndarray:
    """Whether two one-sided tests find the difference within the margin."""
    low, high = rows.interval(1 - 2 * ALPHA)
    return (low >= -MARGIN) & (high <= MARGIN)


def simulate(
    setting: Setting, seeds: int, studies: int, generator: np.random.Generator
) -> dict[str, float]:
    """Return the shares of simulated studies, or of their contrasts, with a verdict.

    `false`: any cell that equals the baseline judged different. `pair`, `effect`: a true
    difference from the baseline, an averaged effect, judged different; of equal cells `effect` is
    the share of false ones. `same`: comparisons with the baseline judged the same.
    """
    truth = np.array(setting.accuracy[1:]) - setting.accuracy[0]
    equal, weights = np.abs(truth) < 1e-12, contrasts(len(setting.accuracy))
    found = np.zeros((studies, 4))
    for i in range(studies):
        rows = estimate(draw(setting, seeds, generator), weights)
        different = holm(rows.p[1:]) < ALPHA
        other = ~equal if not equal.all() else equal
        found[i] = (
            different[equal].any(), different[other].mean(), rows.p[0] < ALPHA,
            within(rows)[1:][other].mean(),
        )  # fmt: skip
    return dict(zip(("false", "pair", "effect", "same"), found.mean(axis=0), strict=True))


def table(
    title: str, settings: Iterable[Setting], shown: dict[str, str], scale: float, start: int
) -> None:
    """Print one table: a row a setting, the shares of every number of seeds."""
    print(f"\n| {title} | " + " | ".join(f"{name}, {n} seeds" if n > 1 else f"{name}, 1 seed"
                                         for name in shown for n in SEEDS) + " |")  # fmt: skip
    print("|---" * (1 + len(shown) * len(SEEDS)) + "|")
    for number, setting in enumerate(settings):
        cost = setting.images * len(setting.accuracy)
        shares = []
        for n in SEEDS:
            studies = max(20, round(scale * min(1500, 1.1e7 / (cost * (n + 2)))))
            generator = np.random.default_rng([start, number, n])
            shares.append(simulate(setting, n, studies, generator))
        entries = [f"{share[key]:.3f}" for key in shown.values() for share in shares]
        print(f"| {setting.name} | " + " | ".join(entries) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scale", nargs="?", type=float, default=4.0)
    scale, start = parser.parse_args().scale, time.process_time()
    table(
        "no difference", EQUAL, {"any false verdict": "false", "false effect": "effect"}, scale, 1
    )
    table("true difference", POWER, {"found": "pair", "averaged effect": "effect"}, scale, 2)
    table("difference", SAME, {"the same": "same"}, scale, 3)
    print(f"\ncommit {provenance({}, None)['git_commit']}, {time.process_time() - start:.0f} s")


if __name__ == "__main__":
    main()
