"""Contrasts and verdicts against numbers worked out by hand, and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.report.analysis import contrasts, seed_variance, verdicts
from pipeline.report.analysis.contrasts import Estimates, Sample, estimate, mean_of, sample_of
from pipeline.report.analysis.verdicts import NOT_COMPARED, SAME, UNDECIDED, Standard, family

PAIR = [[-1.0, 1.0]]


def judge(sample: Sample, weights: object = PAIR, **standard: float) -> dict:
    """Judge one contrast."""
    found = estimate(sample, weights)  # type: ignore[arg-type]
    units = sample.group_count or sample.images
    rows = family(found, Standard(**standard), np.array([sample.seeds.max()]), np.array([units]))
    return rows.iloc[0].to_dict()


# Two cells, two seeds, four images. Accuracies of the runs: 1/2 3/4 and 1 1, means 5/8 and 1.
HAND = np.array([[[1, 1, 0, 0], [1, 1, 1, 0]], [[1, 1, 1, 1], [1, 1, 1, 1]]], dtype=float)


def test_a_pair_by_hand() -> None:
    sample = sample_of(HAND)
    assert sample.accuracy.tolist() == [0.625, 1.0]
    # variance over seeds (0.125^2 + 0.125^2) / 1 = 1/32, and 0
    assert sample.variance == pytest.approx([1 / 32, 0])
    # p~ = (4 * 2 * 5/8 + 1) / 10 = 0.6 and 0.9; phi = (1/32) / 0.24, and its floor.
    phi = np.array([1 / 32 / 0.24, 0.0])
    phi[1] = 1e-5 * (phi[0] / 2) + 1e-12
    # two cells: the prior has no degrees of freedom, v_c = p~ (1 - p~) phi_c
    part = sample.seed_part
    assert part.variance == pytest.approx([1 / 32, 0.09 * phi[1]])
    assert part.df.tolist() == [1, 1]
    # d = (0, 0, 1/2, 1): mean 3/8, variance (2 * 9/64 + 1/64 + 25/64) / 3 = 44/192
    found = estimate(sample, PAIR)
    assert found.difference == pytest.approx([0.375])
    assert found.image_part == pytest.approx([44 / 192 / 4])
    assert found.seed_part == pytest.approx([(1 / 32 + 0.09 * phi[1]) / 2])
    # Over the seeds only image 3 of the first cell varies: by 1/2, a mean of 1/8 over the images.
    assert sample.noise == pytest.approx([1 / 8, 0])
    assert found.overlap == pytest.approx([1 / 8 / 2 / 4])
    parts = 44 / 768 + (1 / 32 + 0.09 * phi[1]) / 2
    v = parts - 1 / 64
    assert found.variance == pytest.approx([v])
    # the harmonic mean of 1 and 3 degrees of freedom, weighted by the parts
    df = parts / ((parts - 44 / 768) / 1 + 44 / 768 / 3)
    assert found.df == pytest.approx([df])
    assert found.p == pytest.approx([2 * stats.t.sf(0.375 / math.sqrt(v), df)])
    low, high = found.interval(0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, df, 0.375, math.sqrt(v)))
    better, worse = found.beyond(0.1)
    assert better == pytest.approx(stats.t.sf((0.1 - 0.375) / math.sqrt(v), df))
    assert worse == pytest.approx(stats.t.cdf((-0.1 - 0.375) / math.sqrt(v), df))


def test_the_variance_of_an_average_of_matched_pairs() -> None:
    # Two pairs that share a cell: its weights are summed, -1/2 - 1/2.
    correct = np.concatenate([HAND, HAND[::-1][:1] * 0.0])
    sample = sample_of(correct)
    found = estimate(sample, [[-1.0, 0.5, 0.5]])
    each = sample.seed_part.variance / 2
    assert found.seed_part == pytest.approx([each[0] + each[1] / 4 + each[2] / 4])
    assert found.difference == pytest.approx([0.5 - 0.625])


def test_groups_of_images_by_hand() -> None:
    # Eight images in four groups of two; d is +1 in both images of the first group, else 0.
    correct = np.zeros((2, 2, 8))
    correct[1, :, :2] = 1
    found = estimate(sample_of(correct, groups=list("aabbccdd")), PAIR)
    # D = 1/4; sums of d - D over groups: 3/2, -1/2, -1/2, -1/2; squares add up to 3
    assert found.image_part == pytest.approx([4 / 3 * 3 / 64])
    assert found.image_df.tolist() == [3]
    apart = estimate(sample_of(correct), PAIR)
    assert apart.image_part == pytest.approx([(2 * 9 / 16 + 6 / 16) / 7 / 8])
    assert apart.image_df.tolist() == [7]


@pytest.mark.parametrize(("groups", "df"), [(1, 7), (3, 7), (4, 3), (8, 7)])
def test_fewer_than_four_groups_are_no_sample_of_groups(groups: int, df: int) -> None:
    found = estimate(sample_of(np.zeros((2, 2, 8)), np.arange(8) % groups), PAIR)
    assert found.image_df.tolist() == [df]


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [(1, 1, SAME), (0, 0, SAME), (0, 1, "clearly better"), (1, 0, "clearly worse")],
)
def test_all_right_and_all_wrong(first: int, second: int, word: str) -> None:
    correct = np.stack([np.full((3, 450), float(value)) for value in (first, second)])
    row = judge(sample_of(correct))
    assert row["word"] == word
    assert math.isfinite(row["p"]) and row["low"] < row["difference"] < row["high"]
    # the variance is that of its floor, 2 / (m + 2)^2
    assert estimate(sample_of(correct), PAIR).variance == pytest.approx([2 / 452**2], rel=0.01)


def test_identical_cells_are_the_same_only_with_enough_images() -> None:
    generator = np.random.default_rng(0)
    for images, word in ((40, UNDECIDED), (450, SAME)):
        one = (generator.random((3, images)) < 0.9).astype(float)
        one[1:] = one[0]  # seeds agree too
        assert judge(sample_of(np.stack([one, one])))["word"] == word


def test_one_image_compares_nothing() -> None:
    row = judge(sample_of(np.stack([np.zeros((3, 1)), np.ones((3, 1))])))
    assert row["word"] == NOT_COMPARED and math.isnan(row["p"]) and row["difference"] == 1


def test_one_seed_borrows_from_other_cells_or_speaks_of_these_networks() -> None:
    generator = np.random.default_rng(1)
    correct = (generator.random((5, 3, 100)) < 0.8).astype(float)
    alone = estimate(sample_of(correct[:2, :1]), PAIR)
    assert alone.seeds_known.tolist() == [False] and alone.seed_part.tolist() == [0]
    correct[0, 1:] = math.nan  # failed runs
    mixed = sample_of(correct)
    assert mixed.seeds.tolist() == [1, 3, 3, 3, 3]
    found = estimate(mixed, [[-1.0, 1, 0, 0, 0]])
    part = mixed.seed_part
    assert found.seeds_known.tolist() == [True] and part.df[0] > 0
    # phi0 times its own binomial variance
    p = (100 * 1 * mixed.accuracy[0] + 1) / 102
    several = mixed.variance[1:] / ((b := (300 * mixed.accuracy[1:] + 1) / 302) * (1 - b))
    phi0, d0 = seed_variance.prior(several, np.full(4, 2.0))
    assert part.variance[0] == pytest.approx(p * (1 - p) * phi0)
    assert part.df[0] == d0
    two = sample_of(correct[:2])  # one cell with several seeds is no sample of cells
    assert estimate(two, PAIR).seeds_known.tolist() == [False]


def test_without_predictions_images_count_as_separate() -> None:
    kept = sample_of(HAND)
    lost = Sample(kept.accuracy, kept.variance, kept.seeds, kept.images)
    # p~ = 0.6 and 0.9 of 4 images each
    assert estimate(lost, PAIR).image_part == pytest.approx([(0.24 + 0.09) / 4])
    right = kept.right.copy()  # type: ignore[union-attr]
    right[1] = math.nan  # predictions of one cell alone
    half = Sample(kept.accuracy, kept.variance, kept.seeds, kept.images, right)
    assert estimate(half, PAIR).image_part == pytest.approx([(0.24 + 0.09) / 4])


def test_the_prior_agrees_with_simulated_variances() -> None:
    # Variances phi0 d0 / chi2(d0) with d0 = 4, estimated with 5 degrees of freedom
    generator = np.random.default_rng(0)
    true = 2.0 * 4 / generator.chisquare(4, 20_000)
    seen = true * generator.chisquare(5, 20_000) / 5
    _, d0 = seed_variance.prior(seen, np.full(20_000, 5.0))
    assert d0 == pytest.approx(4, abs=0.3)
    phi0, d0 = seed_variance.prior(generator.chisquare(5, 20_000) / 5, np.full(20_000, 5.0))
    assert (phi0, d0) == (pytest.approx(1, abs=0.05), seed_variance.MAX_PRIOR)


@pytest.mark.parametrize("value", [1e-3, 0.1, 1.0, 7.0, 1e4])
def test_trigamma_is_inverted(value: float) -> None:
    from scipy.special import polygamma

    assert polygamma(1, seed_variance.trigamma_inverse(value)) == pytest.approx(value, rel=1e-8)


def test_a_cell_that_varies_far_more_than_the_others_is_not_shrunk() -> None:
    generator = np.random.default_rng(2)
    accuracy, seeds = np.full(12, 0.9), np.full(12, 3)
    variance = 1e-4 * generator.chisquare(2, 12) / 2
    variance[0] = 0.04
    part = seed_variance.moderated(accuracy, variance, seeds, 450)
    assert part.variance[0] == pytest.approx(0.04, rel=0.1)
    assert part.df[0] < 2.5 < part.df[1:].max()


def test_means_over_data_sets() -> None:
    one = estimate(sample_of(HAND), PAIR)
    both = mean_of([one, one])
    assert both.difference == pytest.approx(one.difference)
    assert both.variance == pytest.approx(one.variance / 2)
    assert both.df == pytest.approx(one.df)


def test_splits_by_hand() -> None:
    # differences .01 .02 .03 .04 .05: mean .03, S^2 = .00025; test to train 1/3
    found = contrasts.over_splits(np.array([[0.01, 0.02, 0.03, 0.04, 0.05]]), 1 / 3)
    assert found.variance == pytest.approx([0.00025 * (1 / 5 + 1 / 3)])
    assert found.df == pytest.approx([4]) and found.difference == pytest.approx([0.03])


def test_splits_without_a_value_are_left_out() -> None:
    # row 0: .02 .04, S^2 = .0002, k = 2; row 1: one split says nothing of the variance; row 2: none
    rows = [[0.02, np.nan, 0.04], [0.1, np.nan, np.nan], [np.nan] * 3]
    found = contrasts.over_splits(np.array(rows), np.array([0.5, 1.0, 1.0]))
    assert found.variance[0] == pytest.approx(0.0002 * (1 / 2 + 0.5)) and found.df[0] == 1
    assert found.difference[:2] == pytest.approx([0.03, 0.1]) and np.isnan(found.difference[2])
    assert np.isnan(found.interval(0.95)[0][1:]).all()


def known(difference: float, deviation: float, df: float = 1e6) -> Estimates:
    """An estimate with a variance by images alone."""
    one = np.ones(1)
    return Estimates(difference * one, 0 * one, one, deviation**2 * one, df * one, 0 * one,
                     1e-12 * one, np.array([True]))  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "deviation", "word"),
    [
        # 1.645 deviations below the difference is above the margin by more than 1.96: clearly
        (0.05, 0.01, "clearly better"),
        (-0.05, 0.01, "clearly worse"),
        (0.02, 0.008, "better"),  # z = 2.5, and P(> 0.01) = P(z > -1.25) = 0.89
        (-0.02, 0.008, "worse"),
        (0.005, 0.002, "better, within the margin"),  # z = 2.5, up to 0.0083
        (-0.005, 0.002, "worse, within the margin"),
        (0.001, 0.004, SAME),  # up to 0.0076
        (0.001, 0.006, UNDECIDED),  # up to 0.0109
        (0.0, 0.5, UNDECIDED),
        # both "within the margin" and, were the margin not looked at first, "better"
        (0.0099, 0.00001, "better, within the margin"),
    ],
)
def test_words(difference: float, deviation: float, word: str) -> None:
    rows = family(known(difference, deviation), Standard(), np.array([3]), np.array([450]))
    assert rows["word"].item() == word


def test_holm_over_the_family_can_take_a_verdict_back() -> None:
    one = known(0.02, 0.0095)  # p = 0.035
    alone = family(one, Standard(), np.array([3]), np.array([450]))
    two = family(contrasts.joined([one, known(0.0, 0.0095)]), Standard(), np.full(2, 3),
                 np.full(2, 450))  # fmt: skip
    assert alone["word"].tolist() == ["better"]
    assert two["word"].tolist() == [UNDECIDED, UNDECIDED]
    assert two["p_holm"][0] == pytest.approx(2 * alone["p"][0])
    # intervals are those of one comparison
    assert two["low"][0] == alone["low"][0]


def test_how_many_images_or_seeds_would_decide() -> None:
    # z = 1.5 must become 1.96: (1.96 / 1.5)^2 = 1.71 times the images
    rows = family(known(0.15, 0.1), Standard(), np.array([3]), np.array([1000]))
    assert rows["images_needed"].item() == pytest.approx(1710, rel=0.06)
    assert rows["images_needed"].item() >= 1707
    assert math.isnan(rows["seeds_needed"].item()), "seeds are no part of this variance"
    one = np.ones(1)
    seeds = Estimates(0.15 * one, 0.01 * one, 1e6 * one, 0 * one, one, 0 * one, 1e-12 * one,
                      np.array([True]))  # fmt: skip
    rows = family(seeds, Standard(), np.array([3]), np.array([1000]))
    assert rows["seeds_needed"].item() == 6  # 3 * 1.71 = 5.1
    assert math.isnan(rows["images_needed"].item())


def test_what_is_decided_needs_nothing() -> None:
    rows = family(known(0.5, 0.01), Standard(), np.array([3]), np.array([1000]))
    assert rows[["seeds_needed", "images_needed"]].isna().all(axis=None)


@pytest.mark.parametrize("margin", [0.001, 0.02])
def test_the_margin_is_that_of_the_study(margin: float) -> None:
    rows = family(known(0.002, 0.005), Standard(margin=margin), np.array([3]), np.array([450]))
    assert rows["word"].item() == (SAME if margin == 0.02 else UNDECIDED)


def test_the_variance_is_not_below_either_part() -> None:
    one = np.ones(1)
    found = Estimates(0 * one, 2 * one, one, 3 * one, one, 9 * one, 0 * one, np.array([True]))
    assert found.variance.tolist() == [3]


def test_the_variance_of_a_difference_is_that_of_many_studies() -> None:
    """Images, runs and noise: the estimate against the spread of what is estimated."""
    generator = np.random.default_rng(5)
    found, estimates = [], []
    for _ in range(400):
        image, run = generator.normal(0, 1.5, 60), generator.normal(0, 0.6, (2, 8, 1))
        noise = generator.standard_normal((2, 8, 60))
        rows = estimate(sample_of((noise < 0.5 + image + run).astype(float)), PAIR)
        found.append(rows.difference[0])
        estimates.append(rows.variance[0])
    assert np.mean(estimates) == pytest.approx(np.var(found), rel=0.2)


def test_nan_runs_are_left_out() -> None:
    correct = HAND.copy()
    correct[0, 0] = math.nan
    sample = sample_of(correct)
    assert sample.seeds.tolist() == [1, 2]
    assert sample.accuracy.tolist() == [0.75, 1.0]
    assert sample.right is not None and sample.right[0].tolist() == [1, 1, 1, 0]


def test_order_of_the_table_of_words() -> None:
    assert set(verdicts.BETTER) == {"better, within the margin", "clearly better", "better"}
    assert not set(verdicts.BETTER) & set(verdicts.WORSE)
