import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from fedcxr.attacks.rates import halves, private_bound, rate_at, roc, share_gap


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    return rng.normal(0.7, 1, 900).round(2), rng.normal(0, 1, 1500).round(2)  # with ties


@pytest.mark.parametrize("allowed", [0.001, 0.01])
def test_a_rate_is_the_highest_that_sklearn_s_curve_has_within_the_allowed_alarms(scores, allowed):
    members, others = scores
    truth = np.repeat([1, 0], [len(members), len(others)])
    fpr, tpr, _ = roc_curve(truth, np.concatenate(scores), drop_intermediate=False)
    found = rate_at(members, others, allowed)
    assert found.tpr == pytest.approx(tpr[fpr <= allowed].max())
    assert found.alarms / found.non_members <= allowed


def test_its_interval_is_scipy_s_exact_one(scores):
    found = rate_at(*scores, 0.01)
    exact = binomtest(found.hits, found.members).proportion_ci(0.95, method="exact")
    assert found.ci == pytest.approx((exact.low, exact.high))
    exact = binomtest(found.alarms, found.non_members).proportion_ci(0.95, method="exact")
    assert found.fpr_ci == pytest.approx((exact.low, exact.high))


def test_a_rate_that_fewer_than_one_alarm_would_set_is_not_estimable():
    found = rate_at(np.arange(50.0), np.arange(999.0), 0.001)
    assert (found.tpr, found.ci) == (None, None)
    assert found.reason == "not estimable: 999 non-members, 1,000 are needed"
    assert rate_at(np.arange(50.0), np.arange(1000.0), 0.001).reason is None


def test_members_who_tie_with_the_threshold_are_not_found():
    # one alarm of 100 is allowed: the threshold is the second highest non-member, 98
    found = rate_at(np.array([97.0, 98.0, 98.5, 200.0]), np.arange(100.0), 0.01)
    assert (found.threshold, found.hits, found.alarms) == (98.0, 2, 1)


def test_the_curve_is_sklearn_s_and_keeps_every_corner_at_few_alarms(scores):
    members, others = scores
    truth = np.repeat([1, 0], [len(members), len(others)])
    fpr, tpr = roc(*scores, points=50)
    whole = roc_curve(truth, np.concatenate(scores))
    near = whole[0] <= 0.01
    way = (whole[0] + whole[1])[near]  # rises along the curve
    assert np.interp(way, fpr + tpr, fpr) == pytest.approx(whole[0][near])
    assert (fpr > 0.01).sum() == 50
    assert (fpr[-1], tpr[-1]) == (1, 1)
    area = np.trapezoid(tpr, fpr)
    assert area == pytest.approx(roc_auc_score(truth, np.concatenate(scores)), abs=0.002)


def test_halves_are_disjoint_and_whole():
    first, second = halves(7, np.random.default_rng(0))
    assert (len(first), len(second)) == (3, 4)
    assert sorted([*first, *second]) == list(range(7))


def test_epsilon_three_allows_a_fifth_at_one_in_a_hundred():
    # e³ · 0.01 + 0.0001 = 0.20096
    assert private_bound(0.01, 3.0, 1e-4) == pytest.approx(0.20096, abs=1e-5)
    assert private_bound(0.5, 8.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("hits", "of", "expected"),
    # Newcombe 1998, table II, method 10: examples (a), (c), (e) and (g)
    [
        ((56, 48), (70, 80), (0.0524, 0.3339)),
        ((6, 2), (7, 7), (0.0582, 0.8062)),
        ((5, 0), (56, 29), (-0.0381, 0.1926)),
        ((0, 0), (10, 10), (-0.2775, 0.2775)),
    ],
)
def test_the_interval_of_a_gap_is_newcombe_s(hits, of, expected):
    gap, interval = share_gap(hits, of)
    assert gap == pytest.approx(hits[0] / of[0] - hits[1] / of[1])
    assert interval == pytest.approx(expected, abs=1e-4)
