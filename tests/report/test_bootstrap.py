"""Bootstrap intervals, deep ensembles and laws of training-set size, against known answers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import Row, Shape, write_study
from synthetic_predictions import write_predictions

from pipeline.report.analysis import bootstrap, size_curve
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.load import Settings, load_study

SETTINGS = Settings("digits")
EQUAL = np.ones((1, 60), dtype=np.float32)
GENERATOR = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], 20)
LOGITS = 2 * np.eye(3)[LABELS] + 1.5 * GENERATOR.standard_normal((60, 3))


def test_equal_weights_give_the_scores_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predicted = LOGITS.argmax(1)
    chances = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    assert bootstrap.macro_f1(predicted, LABELS, EQUAL) == pytest.approx(
        metrics.f1_score(LABELS, predicted, average="macro")
    )
    assert bootstrap.auroc(LOGITS, LABELS, EQUAL) == pytest.approx(
        metrics.roc_auc_score(LABELS, chances, multi_class="ovr")
    )
    assert bootstrap.negative_log_likelihood(chances[np.arange(60), LABELS], LABELS, EQUAL) == (
        pytest.approx(metrics.log_loss(LABELS, chances))
    )


def test_the_area_of_a_resample_is_nearly_that_of_its_rows() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    chances = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    weights = bootstrap.image_weights(60, None, np.random.default_rng(1))[:50]
    exact = [
        metrics.roc_auc_score(LABELS, chances, multi_class="ovr", sample_weight=row)
        for row in weights
    ]
    found = bootstrap.auroc(LOGITS, LABELS, weights)
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert found.std() == pytest.approx(np.std(exact), rel=0.15)


def test_ties_count_half_and_a_class_without_images_is_left_out() -> None:
    labels = np.array([0, 0, 1, 1])
    flat = np.zeros((4, 3))
    assert bootstrap.auroc(flat, labels, np.ones((1, 4), dtype=np.float32)) == pytest.approx([0.5])
    one = bootstrap.auroc(flat, np.zeros(4, dtype=int), np.ones((1, 4), dtype=np.float32))
    assert math.isnan(one[0])


def test_a_probability_that_half_precision_rounds_to_zero_has_a_finite_loss() -> None:
    chances = np.array([0.0, 1.0], dtype=np.float16)
    loss = bootstrap.negative_log_likelihood(chances, np.zeros(2), np.ones((1, 2), np.float32))
    assert loss == pytest.approx([25 * math.log(2) / 2])


def test_groups_of_images_are_drawn_whole() -> None:
    groups = np.array(list("aabbccdd"))
    weights = bootstrap.image_weights(8, groups, np.random.default_rng(0))
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights.sum(axis=1) == 8).all() and weights.std() > 0


@pytest.mark.parametrize("exponent", [0.3, 1.2])
def test_a_power_law_is_found_again(exponent: float) -> None:
    sizes = np.array([100.0, 300.0, 1000.0])
    law = size_curve.fit(sizes, np.array([2.0 * sizes**-exponent]))
    assert law == pytest.approx(np.array([[-exponent, math.log(2)]]))
    # and inverted: the error at 500 images needs 500 images
    error = np.array([2.0 * 500**-exponent])
    assert size_curve.images_for(law, error) == pytest.approx([500])


def test_a_law_that_does_not_fall_never_gets_there() -> None:
    law = np.array([[0.0, -1.0], [0.1, -1.0]])
    assert np.isinf(size_curve.images_for(law, np.array([0.1, 0.1]))).all()


@pytest.mark.parametrize(
    ("exponent", "factor", "needed"),
    [
        (0.5, 0.5, 100),  # half the error: a quarter of the images, as few as there are
        (0.5, 0.8, 256),
        (0.5, 2.0, 400),  # four times the images: cut to the most
        (-0.1, 2.0, 400),  # more images do not help
    ],
)
def test_gaps_are_cut_to_the_sizes_that_were_trained_with(
    exponent: float, factor: float, needed: int
) -> None:
    sizes, noise = np.array([100.0, 400.0]), 0.02 * GENERATOR.standard_normal((300, 2))
    noise[0] = 0
    laws = {
        ("digits", "gsa", "stem", 1, group, "none", "none"): (
            sizes, size_curve.fit(sizes, factor * sizes**-exponent * np.exp(noise))
        )
        for group, factor in (("C1", 1.0), ("C4", factor))
    }  # fmt: skip
    measure = size_curve.measures.UPRIGHT
    rows = size_curve.gaps_between(laws, SETTINGS, measure)
    assert [row["images"] for row in rows] == [100, 400]
    assert rows[1]["needed"] == pytest.approx(needed, rel=1e-6)
    for row in rows:
        assert 100 <= row["needed_low"] <= row["needed"] <= row["needed_high"] <= 400


FACTORS = {"C1": 1.0, "C4": 0.5}
SIZES = {"n100": 100, "n400": 400, "all": 1600}


def sized(tables: dict[str, list[Row]]) -> None:
    """Give the depths of the study the meaning of sizes: error = factor n^-1/2."""
    sizes = dict(zip((1, 2, 3), SIZES.values(), strict=True))
    for name, rows in tables.items():
        for row in rows if name != "mistakes" else ():
            n = sizes[row["depth"]]
            row |= {"depth": 1, "training_images": None if n == 1600 else n,
                    "cell": f"{row['cell']}-n{n}"}  # fmt: skip
            if name == "runs":
                noise = 1 + 0.02 * (row["seed"] - 102)
                row["train_images"] = n
                row["test_accuracy"] = 1 - noise * FACTORS[row["group"]] * n**-0.5


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(
        groups=("C1", "C4"), encodings=("absolute",), depths=(1, 2, 3), trials=1, epochs=1
    )
    data = write_study(tmp_path_factory.mktemp("sizes"), shape, sized)
    write_predictions(data, logits=True)
    return analyse(load_study(SETTINGS, data))


def test_the_gap_in_images_is_that_of_the_laws(sizes: Analysis) -> None:
    curves = sizes.size_curves.set_index("group")
    assert curves["exponent"].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert (curves["exponent_low"] < 0.5).all() and (curves["exponent_high"] > 0.5).all()
    assert (curves["sizes"] == 3).all()
    gaps = sizes.size_gaps.set_index("images")
    assert set(gaps["level"]) == {"C4"} and set(gaps["reference"]) == {"C1"}
    # half the error at exponent 1/2: a quarter of the images
    assert gaps.loc[1600, "needed"] == pytest.approx(400, rel=0.1)
    assert gaps.loc[1600, "needed_low"] < gaps.loc[1600, "needed"] < gaps.loc[1600, "needed_high"]


def test_ensembles_average_probabilities(sizes: Analysis) -> None:
    rows = sizes.ensembles[sizes.ensembles["measure"] == "test_accuracy"]
    assert len(rows) == 6 and (rows["networks"] == 3).all()
    assert (rows["low"] < rows["accuracy"]).all() and (rows["accuracy"] <= rows["high"]).all()
    # the made-up networks err on much the same images: a majority of three
    cell = sizes.cells.set_index("id").loc[rows.iloc[0]["id"], "cell"]
    source = sizes.study.predictions["digits"]
    right = [source.of(cell, seed, ["upright"]) for seed in (101, 102, 103)]
    majority = np.mean(np.sum(right, axis=0) >= 2)  # type: ignore[call-overload]
    assert rows.iloc[0]["accuracy"] == pytest.approx(majority, abs=0.02)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kept", ["predictions", "none", "one seed"])
def test_without_logits_or_seeds_there_is_no_ensemble(tmp_path: Path, kept: str) -> None:
    seeds = (101,) if kept == "one seed" else (101, 102)
    shape = Shape(groups=("C1", "C4"), encodings=("none",), depths=(1,), seeds=seeds, trials=1,
                  epochs=1)  # fmt: skip
    data = write_study(tmp_path, shape)
    if kept != "none":
        write_predictions(data, logits=kept == "one seed")
    assert analyse(load_study(SETTINGS, data)).ensembles.empty


def scored(tables: dict[str, list[Row]]) -> None:
    for row in tables["runs"]:
        row |= {"macro_f1": 0.9, "negative_log_likelihood": 0.5, "balanced_accuracy": 0.9}


def test_f1_and_likelihood_get_intervals_over_seeds_and_images(tmp_path: Path) -> None:
    shape = Shape(groups=("C1", "C4"), encodings=("none",), depths=(1,), trials=1, epochs=1)
    study = load_study(SETTINGS, _predicted(tmp_path, shape))
    runs = study.runs.assign(macro_f1=study.runs["test_accuracy"], negative_log_likelihood=0.5)
    cells = analyse(dataclass_replace(study, runs)).cells
    for column in ("macro_f1", "negative_log_likelihood"):
        assert (cells[column + "_low"] < cells[column + "_high"]).all()
    assert (cells["macro_f1_low"] < cells["macro_f1"]).all()
    assert (cells["macro_f1"] < cells["macro_f1_high"]).all()


def _predicted(root: Path, shape: Shape) -> Path:
    data = write_study(root, shape)
    write_predictions(data)
    return data


def dataclass_replace(study: object, runs: pd.DataFrame) -> object:
    from dataclasses import replace

    return replace(study, runs=runs)  # type: ignore[type-var]
