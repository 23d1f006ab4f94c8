import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from fedcxr.metrics.curves import bce, roc_points


def random_case(num, decimals=3):
    rng = np.random.default_rng(num)
    target = (rng.random(num) < 0.3).astype(float)
    return target, np.clip(rng.normal(0.4 + 0.2 * target, 0.2), 0, 1).round(decimals)


@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_corners_are_those_of_sklearn(decimals):
    target, probs = random_case(150, decimals)
    fpr, tpr = roc_points(target, probs, max_points=1000)
    expected_fpr, expected_tpr, _ = roc_curve(target, probs, drop_intermediate=False)
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc_score(target, probs), abs=1e-12)
    points = set(zip(expected_fpr.round(12), expected_tpr.round(12), strict=True))
    assert set(zip(fpr.round(12), tpr.round(12), strict=True)) <= points


def test_a_long_curve_is_thinned_with_its_ends_and_hardly_its_area():
    target, probs = random_case(20_000, 9)
    fpr, tpr = roc_points(target, probs, max_points=100)
    assert len(fpr) <= 100
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(fpr) >= 0)
    assert np.all(np.diff(tpr) >= 0)
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc_score(target, probs), abs=2e-3)


def test_all_tied_scores_draw_the_diagonal():
    fpr, tpr = roc_points([0, 1, 1], [0.5, 0.5, 0.5])
    assert fpr.tolist() == tpr.tolist() == [0, 1]


def test_one_class_draws_nothing():
    fpr, tpr = roc_points([1, 1, np.nan], [0.1, 0.2, 0.3])
    assert len(fpr) == len(tpr) == 0


def test_bce_equals_sklearn_over_the_known_targets():
    target, probs = random_case(100)
    target[::4] = np.nan
    known = ~np.isnan(target)
    expected = log_loss(target[known], np.clip(probs[known], 1e-7, 1 - 1e-7))
    assert bce(target, probs) == pytest.approx(expected, rel=1e-9)


def test_bce_of_sure_and_wrong_is_large_but_finite_and_of_nothing_is_nan():
    assert 15 < bce([1.0], [0.0]) < 17
    assert np.isnan(bce([np.nan], [0.3]))
