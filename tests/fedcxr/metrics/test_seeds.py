import numpy as np
import pytest
from scipy.stats import ttest_rel

from fedcxr.metrics.seeds import seed_spread, training_claim

FIRST = [0.81, 0.83, 0.80, 0.84, 0.82]
SECOND = [0.80, 0.81, 0.81, 0.82, 0.80]


def test_the_spread_is_the_standard_deviation_with_one_degree_less():
    # mean 0.82, deviations -0.01 0.01 -0.02 0.02 0: sqrt(0.001 / 4)
    assert seed_spread([0.81, 0.83, 0.80, 0.84, 0.82]) == pytest.approx(np.sqrt(0.001 / 4))


def test_one_seed_has_no_spread():
    assert seed_spread([0.8]) is None


def test_a_claim_by_hand():
    # differences 0.01 0.02 -0.01 0.02 0.02: mean 0.012, s² = 0.00068 / 4 = 0.00017;
    # variance 0.00017 / 5 + 0.0001 = 0.000134; t(4, 0.975) = 2.776445
    value, ci, reason = training_claim(FIRST, SECOND, 0.0001, 0.95)
    half = 2.7764451051977987 * np.sqrt(0.000134)
    assert value == pytest.approx(0.012)
    assert ci == pytest.approx((0.012 - half, 0.012 + half), abs=1e-12)
    assert reason is None


def test_without_variance_of_patients_it_is_the_paired_t_interval():
    expected = ttest_rel(FIRST, SECOND).confidence_interval(0.9)
    _, ci, _ = training_claim(FIRST, SECOND, 0.0, 0.9)
    assert ci == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_seeds_that_agree_leave_the_variance_of_patients():
    _, (low, high), _ = training_claim([0.8] * 5, [0.7] * 5, 0.01, 0.95)
    assert high - low == pytest.approx(2 * 2.7764451051977987 * 0.1)


@pytest.mark.parametrize(("number", "words"), [(1, "1 seed:"), (2, "2 seeds:"), (4, "4 seeds:")])
def test_fewer_than_five_seeds_claim_nothing_but_keep_the_value(number, words):
    value, ci, reason = training_claim(FIRST[:number], SECOND[:number], 0.0001, 0.95)
    assert value == pytest.approx(np.mean(np.subtract(FIRST, SECOND)[:number]))
    assert ci is None
    assert reason == f"{words} a claim about training in general needs at least 5"


def test_what_is_not_known_gives_no_interval():
    assert training_claim(FIRST, SECOND, None, 0.95)[1:] == (
        None,
        "no variance over patients is known",
    )
    value, ci, reason = training_claim([np.nan] * 5, SECOND, 0.1, 0.95)
    assert np.isnan(value)
    assert (ci, reason) == (None, "a seed has no value")


def test_seeds_that_are_not_paired_and_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="same seeds"):
        training_claim(FIRST, SECOND[:4], 0.1, 0.95)
    with pytest.raises(ValueError, match="same seeds"):
        training_claim([], [], 0.1, 0.95)
    with pytest.raises(ValueError, match="level"):
        training_claim(FIRST, SECOND, 0.1, 1.0)
    with pytest.raises(ValueError, match="variance"):
        training_claim(FIRST, SECOND, -0.1, 0.95)
