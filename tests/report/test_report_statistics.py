"""The report's statistics against cases computed by hand."""

import math
from functools import partial

import numpy as np
import pytest

from pipeline.report.analysis import statistics

MEAN = partial(np.mean, axis=-1)


def test_mean_interval_of_three_seeds() -> None:
    # mean 0.9, s = 0.01, t(0.975, 2) = 4.302653, half width 4.302653 * 0.01 / sqrt(3)
    interval = statistics.mean_interval([0.89, 0.90, 0.91])
    assert interval.centre == pytest.approx(0.9)
    assert interval.half_width == pytest.approx(0.0248414, abs=1e-7)
    assert (interval.n, interval.method) == (3, "Student t")


def test_values_of_splits_share_training_images_by_hand() -> None:
    # mean .92, S = .02, n = 3: S^2 (1/3 + .25), t = 4.3027
    found = statistics.mean_interval([0.90, 0.92, 0.94], shared=0.25)
    assert found.half_width == pytest.approx(4.302653 * math.sqrt(0.0004 * (1 / 3 + 0.25)))
    logs = statistics.log_interval([math.exp(x) for x in (0.90, 0.92, 0.94)], shared=0.25)
    assert math.log(logs.high / logs.centre) == pytest.approx(found.half_width)


def test_interval_never_leaves_its_bounds() -> None:
    interval = statistics.mean_interval([0.98, 1.0, 1.0], bounds=(0.0, 1.0))
    assert interval.high == 1.0
    assert interval.low < 0.98


@pytest.mark.parametrize(("values", "n"), [([], 0), ([math.nan, math.inf], 0), ([0.5], 1)])
def test_fewer_than_two_values_have_no_interval(values: list[float], n: int) -> None:
    for interval in (statistics.mean_interval(values), statistics.log_interval(values)):
        assert interval.n == n
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


def test_not_a_number_is_left_out_of_the_mean() -> None:
    assert statistics.mean_interval([0.2, math.nan, 0.4]).centre == pytest.approx(0.3)


def test_log_interval_is_geometric() -> None:
    interval = statistics.log_interval([1e-7, 1e-6, 1e-5])
    assert interval.centre == pytest.approx(1e-6)
    # s = ln 10; half width of the logarithm 4.302653 * ln 10 / sqrt 3
    assert math.log(interval.high / 1e-6) == pytest.approx(4.302653 * math.log(10) / math.sqrt(3))


def test_log_interval_with_an_exact_zero_is_the_range() -> None:
    interval = statistics.log_interval([0.0, 1e-7, 3e-7])
    assert (interval.centre, interval.low, interval.high) == (1e-7, 0.0, 3e-7)
    assert interval.method == "range"


def test_interquartile_mean_of_one_to_eight() -> None:
    # 1 2 | 3 4 5 6 | 7 8, and along the last axis alone
    assert statistics.interquartile_mean(range(1, 9)) == 4.5
    assert statistics.interquartile_mean([[0, 5, 7, 100], [1, 1, 3, 3]]).tolist() == [6, 2]
    # five values: one is cut at either end
    assert statistics.interquartile_mean([9, 1, 2, 3, -50]) == 2


def test_bootstrap_resamples_inside_strata_and_repeats() -> None:
    # Inside each stratum all values are equal: no resample can differ.
    constant = statistics.bootstrap_interval(
        [[0.0, 0.0], [1.0, 1.0]], MEAN, np.random.default_rng(0), resamples=50
    )
    assert (constant.centre, constant.low, constant.high) == (0.5, 0.5, 0.5)
    first, second = (
        statistics.bootstrap_interval([[0.1, 0.5, 0.9]], MEAN, np.random.default_rng(7))
        for _ in range(2)
    )
    assert first == second
    assert 0.1 <= first.low < 0.5 < first.high <= 0.9


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 -> 3*.01, max(.03, 2*.02), max(.04, .03); NaN does not count
    adjusted = statistics.holm([0.03, 0.01, math.nan, 0.02])
    assert adjusted[[1, 3, 0]] == pytest.approx([0.03, 0.04, 0.04])
    assert math.isnan(adjusted[2])
    assert statistics.holm([0.9, 0.8]).max() == 1.0


def test_pareto_front() -> None:
    accuracy = [0.9, 0.8, 0.95, math.nan, 0.9]
    error = [1e-7, 1e-7, 0.5, 0.0, 0.6]
    assert statistics.pareto_front(accuracy, error).tolist() == [True, False, True, False, False]


def test_rounding_noise_does_not_decide_the_front() -> None:
    front = statistics.pareto_front([0.97, 0.96], [3e-7, 2e-7], floor=1e-5)
    assert front.tolist() == [True, False]
