"""What is said over all data sets and of the search, against cases computed by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import Shape, write_study

from pipeline.report.analysis import comparisons, importance, overall
from pipeline.report.analysis.analysis import Analysis, analyse
from pipeline.report.figures import datasets, efficiency, encodings
from pipeline.report.load import Settings, load_study
from pipeline.results import schemas

SETTINGS = Settings("hand")


def runs(accuracies: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    """Finished runs by data set and group, all of one encoding."""
    return pd.DataFrame([
        {"dataset": dataset, "model": "gsa", "tokens": "stem", "depth": 1, "group": group,
         "positional": "absolute", "augment": "none", "training_images": "all", "seed": seed,
         "test_accuracy": value,
         "test_accuracy_quarter_turned": value, "test_accuracy_turned": value}
        for (dataset, group), values in accuracies.items()
        for seed, value in enumerate(values)
    ])  # fmt: skip


HAND = runs({
    ("a", "C1"): [0.1, 0.2, 0.3, 0.4], ("b", "C1"): [0.5, 0.6, 0.7, 0.8],
    ("a", "C4"): [0.2, 0.3, 0.4, 0.5], ("b", "C4"): [0.9, 0.9, 0.9, 0.9],
    ("a", "D4"): [0.9, 0.9, 0.9, 0.9],
})  # fmt: skip


def test_interquartile_means_over_data_sets() -> None:
    found = overall.interquartile_means(HAND, SETTINGS, np.random.default_rng(0))
    upright = found[found["measure"] == "test_accuracy"].set_index("group")
    # the middle four of eight: .3 .4 .5 .6, and .4 .5 .9 .9; D4 lacks a data set
    assert upright["centre"].to_dict() == pytest.approx({"C1": 0.45, "C4": 0.675})
    assert (upright["low"] < upright["centre"]).all() and (upright["n"] == 8).all()
    alone = overall.interquartile_means(
        HAND[HAND["dataset"] == "a"], SETTINGS, np.random.default_rng(0)
    )
    assert alone.empty


def test_a_baseline_that_names_a_model_is_that_of_all_models() -> None:
    other = HAND[HAND["group"] == "C4"].assign(model="gcnn", tokens="trunk", positional="none")
    both = pd.concat([HAND[HAND["group"] == "C1"], other])
    named = {"group": "C1", "positional": "absolute", "model": "gsa", "tokens": "stem"}
    settings = Settings("hand", baseline=named)
    cells = both.drop_duplicates(["dataset", "model"]).assign(baseline=[True, True, False, False])
    known = comparisons.baselines(cells.assign(id=range(4)), settings)
    assert set(known) == {2, 3} and tuple(known[3][["dataset", "model"]]) == ("b", "gsa")
    assert not comparisons.baselines(cells.assign(id=range(4)), SETTINGS)
    assert comparisons.baseline_name(settings) == "C1 absolute gsa stem"
    assert (
        comparisons.baseline_matched(settings)
        == "data set, depth, augmentation and number of training images"
    )


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).random((300, 3))


def test_shares_of_an_additive_function(noise: np.ndarray) -> None:
    # 2 x + y: variances 4 and 1, so four fifths, one fifth, nothing
    scores = 2 * noise[:, 0] + noise[:, 1]
    shares, predicted = importance.variance_shares(noise, scores, np.random.default_rng(0))
    assert shares == pytest.approx([0.8, 0.2, 0.0], abs=0.06)
    assert predicted > 0.9
    again, unknown = importance.variance_shares(noise, scores, np.random.default_rng(0), False)
    assert (again == shares).all() and math.isnan(unknown)


def test_what_two_do_together_is_the_share_of_neither(noise: np.ndarray) -> None:
    centred = noise - 0.5
    shares, _ = importance.variance_shares(
        noise, np.sign(centred[:, 0] * centred[:, 1]), np.random.default_rng(0)
    )
    assert shares.sum() < 0.25


def test_noise_is_not_foreseen(noise: np.ndarray) -> None:
    scores = np.random.default_rng(9).random(len(noise))
    _, predicted = importance.variance_shares(noise, scores, np.random.default_rng(0))
    assert predicted < 0.1


def test_shares_agree_with_the_evaluator_of_optuna(noise: np.ndarray) -> None:
    import optuna

    table, scores = noise[:80], 2 * noise[:80, 0] + noise[:80, 1]
    study, unit = optuna.create_study(), optuna.distributions.FloatDistribution(0, 1)
    study.add_trials([
        optuna.create_trial(params=dict(zip("xyz", map(float, row), strict=True)), value=score,
                            distributions=dict.fromkeys("xyz", unit))
        for row, score in zip(table, scores, strict=True)
    ])  # fmt: skip
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=0)
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares, _ = importance.variance_shares(table, scores, np.random.default_rng(0))
    assert shares == pytest.approx([theirs[name] for name in "xyz"], abs=0.1)


def trials(cells: int = 10) -> pd.DataFrame:
    """Trials whose score is the cell's level plus the learning rate."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame({
        "dataset": "digits", "cell": np.repeat([f"cell {i}" for i in range(cells)], 4),
        "trial": np.tile(range(4), cells), "status": "completed",
        "learning_rate": generator.random(4 * cells), "dropout": generator.random(4 * cells),
        "weight_decay": 0.1, "feedforward_ratio": math.nan, "channels": 8, "heads": 2,
        "attention_dropout": 0.0,
        "label_smoothing": 0.0, "batch_size": 32, "configuration": "{}",
    })  # fmt: skip
    level = np.repeat(generator.random(cells), 4)
    return table.assign(validation_accuracy=level + 0.1 * table["learning_rate"])


def test_importances_divide_what_moved_within_cells() -> None:
    found = importance.importances(trials(), np.random.default_rng(0)).set_index("hyperparameter")
    assert set(found.index) == {"learning_rate", "dropout"}  # the others were not searched
    assert found.loc["learning_rate", "share"] > 0.8
    assert (found["low"] <= found["share"]).all() and (found["share"] <= found["high"]).all()
    again = importance.importances(trials(), np.random.default_rng(0)).set_index("hyperparameter")
    pd.testing.assert_frame_equal(found, again)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["head_dropout", "drop_path", "ema"])
def test_a_hyperparameter_without_a_column_is_read_from_the_configuration(name: str) -> None:
    assert name not in schemas.TRIALS.names
    table = trials()
    texts = [json.dumps({name: value}) for value in table["learning_rate"]]
    moved = table.assign(configuration=texts, learning_rate=0.003)
    found = importance.importances(moved, np.random.default_rng(0)).set_index("hyperparameter")
    assert set(found.index) == {name, "dropout"} and found.loc[name, "share"] > 0.8


def test_a_width_that_is_solved_is_not_searched() -> None:
    table = trials().assign(feedforward_ratio=np.tile([1.0, 2.0], 20))
    solved = table.assign(channels=np.where(table["feedforward_ratio"] == 1, 12, 10))
    searched = table.assign(channels=np.tile([8, 10, 12, 14], 10))
    for rows, listed in ((solved, False), (searched, True)):
        found = importance.importances(rows, np.random.default_rng(0))
        assert ("channels" in set(found["hyperparameter"])) is listed


def test_few_trials_have_no_importances() -> None:
    assert importance.importances(trials(cells=4), np.random.default_rng(0)).empty


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    shape = Shape(
        datasets=("leaves", "leaves-100"), groups=("C1", "C4"), encodings=("absolute",),
        depths=(1,), epochs=2, train_images={"leaves": 2000, "leaves-100": 100},
    )  # fmt: skip
    root = tmp_path_factory.mktemp("sizes")
    return analyse(load_study(Settings("digits"), write_study(root, shape)))


def test_sizes_of_one_data_set_make_a_line(sizes: Analysis) -> None:
    table = efficiency.table(sizes)
    assert table["family"].unique().tolist() == ["leaves"]
    assert table.groupby("group")["train_images"].agg(list).tolist() == [[100, 2000]] * 2
    assert "from 100 to 2k training images (2 sizes): C1 " in efficiency.caption(table, sizes)
    assert len(datasets.table(sizes)) == 2 * 3


def test_encodings_are_measured_against_the_first_frame(sizes: Analysis) -> None:
    rows = encodings.table(sizes)
    (values,) = encodings.maps(rows).values()
    assert encodings.departure(values, "C4") == 0
    spoiled = values.copy()
    spoiled[1] += np.ptp(values)
    assert encodings.departure(spoiled, "C4") == pytest.approx(0.5)
    assert encodings.departure(values[:3], "C3") is None


def test_a_study_of_one_size_has_no_such_figures(tmp_path: Path) -> None:
    shape = Shape(groups=("C1", "C4"), encodings=("none",), depths=(1,), epochs=2)
    analysis = analyse(load_study(Settings("digits"), write_study(tmp_path, shape)))
    for module in (efficiency, datasets, encodings):
        assert module.table(analysis).empty
