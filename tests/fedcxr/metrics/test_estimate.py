import math

import numpy as np
import pytest
from scipy import stats

from fedcxr.metrics.estimate import (
    Estimate,
    Part,
    bounded,
    bounded_auroc,
    bounded_share,
    half_width,
    over_folds,
    p_value,
    symmetric,
    with_trainings,
)

FIRST = [0.81, 0.83, 0.80, 0.84, 0.82]
SECOND = [0.80, 0.81, 0.81, 0.82, 0.80]
APART = np.subtract(FIRST, SECOND)  # 0.01 0.02 -0.01 0.02 0.02: mean 0.012, s² = 0.00017


def over_patients(variance, df=math.inf, value=0.012):
    return symmetric(value, (Part(variance, df),), 0.95)


def test_patients_and_trainings_each_take_their_own_quantile():
    # half² = t(4)² · 0.00017 / 5 + t(30)² · 0.0001
    found = with_trainings(over_patients(0.0001, 30.0), APART, 0.95)
    half = math.sqrt(2.7764451051977987**2 * 0.000034 + 2.0422724563012373**2 * 0.0001)
    assert found.ci == pytest.approx((0.012 - half, 0.012 + half), abs=1e-12)
    assert found.se == pytest.approx(math.sqrt(0.000134))


def test_without_variance_of_patients_it_is_the_paired_t_test():
    found = with_trainings(over_patients(0.0), APART, 0.95)
    expected = stats.ttest_rel(FIRST, SECOND)
    assert found.ci == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


def test_trainings_that_agree_leave_the_interval_over_patients():
    patients = over_patients(0.0001, 7.0, value=0.1)
    found = with_trainings(patients, [0.1, 0.1, 0.1], 0.95)
    assert found.ci == pytest.approx(patients.ci, abs=1e-12)


def test_folds_widen_the_variance_of_their_mean_by_the_patients_they_share():
    # 4 folds of 25 patients, trained on 75: (1/4 + 25/75) · s², s² = 0.0005 / 3 of these four
    by_fold = [0.01, 0.03, 0.02, 0.04]
    found = over_folds(by_fold, 25 / 75, 0.95)
    assert found.value == pytest.approx(0.025)
    variance = (0.25 + 1 / 3) * 0.0005 / 3
    assert found.parts == ((pytest.approx(variance), 3.0),)
    half = 3.182446305284263 * math.sqrt(variance)  # t(3)
    assert found.ci == pytest.approx((0.025 - half, 0.025 + half))
    # the p value is that of Student's t of the mean over this standard error
    assert found.p == pytest.approx(2 * stats.t.sf(0.025 / math.sqrt(variance), 3), rel=1e-6)


@pytest.mark.parametrize(("by_fold", "share"), [([0.1], 0.5), ([0.1, 0.2], 0.0)])
def test_one_fold_and_folds_without_training_patients_are_refused(by_fold, share):
    with pytest.raises(ValueError, match="2 folds or more"):
        over_folds(by_fold, share, 0.95)


def test_one_training_has_no_interval_over_trainings_and_keeps_its_value():
    found = with_trainings(over_patients(0.0001), [0.012], 0.95)
    assert (found.value, found.ci) == (0.012, None)
    assert found.reason == "1 training of each arm: at least 2 are needed"


def test_without_an_interval_over_patients_there_is_none_over_trainings():
    nothing = Estimate(0.012, None, "too few")
    assert with_trainings(nothing, APART, 0.95) == nothing


def test_trainings_that_are_not_those_of_the_mean_are_refused():
    with pytest.raises(ValueError, match=r"whose mean is 0\.012"):
        with_trainings(over_patients(0.0001), [0.5, 0.6], 0.95)


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9])
def test_it_covers_as_often_as_it_says_with_three_trainings(ratio):
    # Satterthwaite's rule covers 92.3 % at 0.9; 20,000 studies of 95 %: ± 0.5 % at 99.9 %
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(4000):
        trainings = rng.normal(0, math.sqrt(3 * ratio), 3)
        value = trainings.mean() + rng.normal(0, math.sqrt(1 - ratio))
        variance = (1 - ratio) * rng.chisquare(60) / 60
        patients = symmetric(value, (Part(variance, 60.0),), 0.95)
        by_seed = trainings - trainings.mean() + value
        low, high = with_trainings(patients, by_seed, 0.95).ci
        covered += low < 0 < high
    assert 0.94 < covered / 4000 < 0.985


def test_a_p_value_is_where_an_end_of_the_interval_is_zero():
    parts = (Part(0.3, 4.0), Part(0.5, 2.0), Part(0.1, math.inf))
    p = p_value(3.0, parts)
    assert half_width(parts, 1 - p) == pytest.approx(3.0)


@pytest.mark.parametrize(("t", "df"), [(0.1, 3.0), (2.5, 12.0), (40.0, 90.0)])
def test_with_one_part_the_p_value_is_students(t, df):
    assert p_value(-t, [Part(1.0, df)]) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-6)


def test_p_values_at_the_ends():
    assert p_value(0.0, [Part(1.0, 3.0)]) == 1.0
    assert p_value(0.1, [Part(0.0, 3.0)]) == 0.0
    assert p_value(1e6, [Part(1.0, math.inf)]) == 0.0
    # one degree of freedom: Cauchy, p = 1 − 2 / π · atan(1e6)
    assert p_value(1e6, [Part(0.0, 9.0), Part(1.0, 1.0)]) == pytest.approx(2e-6 / math.pi)
    assert math.isnan(Estimate(0.1, None, "none").p)


def test_a_bounded_interval_ends_where_the_value_is_t_standard_errors_away():
    found = bounded(0.97, Part(0.0004, 20.0), 0.95)
    for end in found.ci:
        se = math.sqrt(0.0004 * end * (1 - end) / (0.97 * 0.03))
        assert abs(0.97 - end) == pytest.approx(stats.t.ppf(0.975, 20) * se)
    low, high = found.ci
    assert 0 < low < 0.97 < high < 1


def test_with_the_variance_of_a_share_it_is_wilsons_interval():
    # 36 of 40 trials, exactly known variance
    found = bounded(0.9, Part(0.9 * 0.1 / 40, math.inf), 0.95)
    expected = stats.binomtest(36, 40).proportion_ci(0.95, method="wilson")
    assert found.ci == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("value", "variance"), [(0.8, 0.003), (0.99, 0.00001)])
def test_an_auroc_ends_where_both_variances_together_say(value, variance):
    found = bounded_auroc(value, Part(variance, 14.0), 0.9, positives=15, negatives=60)
    for end in found.ci:
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        theirs = (end * (1 - end) + 14 * (q1 - end**2) + 59 * (q2 - end**2)) / (15 * 60)
        ours = variance * end * (1 - end) / (value * (1 - value))
        se = math.sqrt((15 * ours + 2 * theirs) / 17)
        assert abs(value - end) == pytest.approx(stats.t.ppf(0.95, 14) * se)


def test_with_many_patients_the_two_added_ones_hardly_count():
    part = Part(0.0001, 500.0)
    many = bounded_auroc(0.8, part, 0.95, positives=2000, negatives=2000)
    assert many.ci == pytest.approx(bounded(0.8, part, 0.95).ci, abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_at_the_bound_there_is_no_interval(value):
    found = bounded(value, Part(0.01, 20.0), 0.95)
    assert (found.value, found.ci) == (value, None)
    assert found.reason == f"no interval: it is {value:g} itself, whoever is left out"


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="level"):
        half_width([Part(1.0, 3.0)], 1.0)
    with pytest.raises(ValueError, match="variances"):
        half_width([Part(-1.0, 3.0)], 0.95)


def test_a_share_whose_variance_is_that_of_its_patients_has_wilsons_interval():
    # 30 of 40: 0.75 · 0.25 / 40, whatever counts how much; t(39) = 2.0227
    found = bounded_share(0.75, Part(0.75 * 0.25 / 40, 39.0), 0.95, patients=40.0)
    t = stats.t.ppf(0.975, 39)
    for end in found.ci:
        assert abs(0.75 - end) == pytest.approx(t * math.sqrt(end * (1 - end) / 40))


def test_the_variance_of_few_patients_counts_less():
    narrow = Part(0.0001, 9.0)
    few, many = (bounded_share(0.9, narrow, 0.95, patients=n) for n in (10.0, 1000.0))
    assert few.ci[1] - few.ci[0] > 2 * (many.ci[1] - many.ci[0])
    assert many.ci == pytest.approx(bounded(0.9, narrow, 0.95).ci, abs=0.002)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_of_none_or_all_has_the_interval_of_so_many_patients(value):
    found = bounded_share(value, Part(0.0, 11.0), 0.95, patients=12.0)
    t = stats.t.ppf(0.975, 11)
    far = t**2 / (12 + t**2)
    assert found.ci == pytest.approx((0.0, far) if value == 0 else (1 - far, 1.0))
