"""Which hyperparameters matter: functional analysis of variance over the trials of a study.

A random forest is fitted to the scores of trials; how much its prediction varies with one
hyperparameter alone, averaged over the others, is that one's share of the variance (Hutter et al.
2014). Scores are taken relative to the mean of their cell: what is divided is what the search
moved within cells, not how cells differ.

Optuna's evaluator says the same to a few points (a test compares them) but takes a second where
this takes a hundredth, and scales its shares to one, which hides what several do together.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.study.hyperparameters import HYPERPARAMETERS

MIN_TRIALS = 20  # fewer are too few for a forest
MAX_TRIALS = 1000  # of a data set; more are sampled, since the forest's time grows with them
RESAMPLES, TREES, GRID, BACKGROUND = 10, 64, 12, 64
COLUMNS = ["dataset", "hyperparameter", "trials", "sampled", "share", "low", "high", "predicted"]

Array = NDArray[np.float64]


def importances(trials: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Return the share of every searched hyperparameter, data set by data set.

    `low` and `high` are the range over resampled trials; `predicted` is the coefficient of
    determination of the forest on trials it was not fitted to: near 0 the shares are of noise.
    """
    rows = []
    done = trials[(trials["status"] == "completed") & trials["validation_accuracy"].notna()]
    for dataset, part in done.groupby("dataset", sort=False):
        rows += [{"dataset": dataset, **row} for row in _of_dataset(part, generator)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_dataset(trials: pd.DataFrame, generator: np.random.Generator) -> list[dict[str, Any]]:
    trials = trials[trials.groupby("cell")["trial"].transform("size") > 1]
    if len(trials) < MIN_TRIALS:
        return []
    every = len(trials)
    if every > MAX_TRIALS:
        trials = trials.iloc[np.sort(generator.choice(every, MAX_TRIALS, replace=False))]
    trials = _with_all_hyperparameters(trials)
    varied = [
        name for name in HYPERPARAMETERS if _varies(trials, name) and not _follows(trials, name)
    ]
    scores = trials["validation_accuracy"].astype(float)
    within = (scores - scores.groupby(trials["cell"]).transform("mean")).to_numpy()
    if len(varied) < 2 or not np.ptp(within):
        return []
    table = trials[varied].astype(float)
    # Cells without a hyperparameter say nothing of it: there it does not move.
    table = table.fillna(table.median()).to_numpy()
    whole, predicted = variance_shares(table, within, generator)
    draws = generator.integers(len(within), size=(RESAMPLES, len(within)))
    again = [
        variance_shares(table[draw], within[draw], generator, score=False)[0] for draw in draws
    ]
    low, high = np.min([whole, *again], axis=0), np.max([whole, *again], axis=0)
    return [
        {
            "hyperparameter": name, "trials": len(trials), "sampled": len(trials) < every,
            "share": whole[i], "low": low[i], "high": high[i], "predicted": predicted,
        }
        for i, name in enumerate(varied)
    ]  # fmt: skip


def _with_all_hyperparameters(trials: pd.DataFrame) -> pd.DataFrame:
    """Add those hyperparameters that the table has no column for, from the configurations."""
    missing = [name for name in HYPERPARAMETERS if name not in trials]
    found = [json.loads(text) if isinstance(text, str) else {} for text in trials["configuration"]]
    columns = {
        name: pd.to_numeric(pd.Series([one.get(name) for one in found], dtype=object),
                            errors="coerce").to_numpy()
        for name in missing
    }  # fmt: skip
    return trials.assign(**columns)


def _varies(trials: pd.DataFrame, name: str) -> bool:
    """Whether a hyperparameter was searched: it differs between trials of a cell."""
    return bool((trials.groupby("cell")[name].nunique() > 1).any())


def _follows(trials: pd.DataFrame, name: str) -> bool:
    """Whether a width was not searched but solved for equal parameters: others decide it."""
    if name != "channels":
        return False
    widths = trials.groupby(["cell", "feedforward_ratio", "heads"], dropna=False)[name].nunique()
    return bool((widths == 1).all())


def variance_shares(
    table: Array, scores: Array, generator: np.random.Generator, score: bool = True
) -> tuple[Array, float]:
    """Share of the variance of a forest's predictions that each column brings alone.

    The columns are taken as independent, each distributed as its values in the table.

    Parameters
    ----------
    table, scores
        Hyperparameters ``(trials, columns)`` and scores ``(trials,)``.
    generator
        Where the forest and the sampled rows come from.
    score
        Whether the coefficient of determination is wanted, else it is NaN.

    Returns
    -------
    tuple
        Shares ``(columns,)``, the rest being what columns bring together, and the coefficient of
        determination of the forest on the trials that its trees have not seen.
    """
    from sklearn import config_context
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        TREES, oob_score=score, min_samples_leaf=2, random_state=int(generator.integers(2**31))
    )
    # Every tree would check its parameters again.
    with config_context(skip_parameter_validation=True):
        forest.fit(table, scores)
    rows = generator.permuted(_evenly(table, BACKGROUND), axis=0)  # columns independent
    grid = _evenly(table, GRID)
    points = np.broadcast_to(rows, (table.shape[1], GRID, *rows.shape)).copy()
    for column in range(table.shape[1]):
        points[column, :, :, column] = grid[:, column, None]
    values = forest.predict(points.reshape(-1, table.shape[1])).reshape(points.shape[:-1])
    alone, total = values.mean(axis=2).var(axis=1), values.var(axis=(1, 2))
    shares = np.divide(alone, total, out=np.zeros_like(alone), where=total > 0)
    return shares, float(forest.oob_score_) if score else math.nan


def _evenly(table: Array, number: int) -> Array:
    """`number` evenly spaced quantiles of every column, ``(number, columns)``."""
    return np.quantile(table, (np.arange(number) + 0.5) / number, axis=0, method="nearest")
