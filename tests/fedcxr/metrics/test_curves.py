import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from fedcxr.metrics.curves import bce, mean_pr, mean_roc, roc_points


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


def test_a_mean_roc_curve_is_the_vertical_average():
    target, first = random_case(600, 6)
    rng = np.random.default_rng(1)
    models = np.stack([first, first + rng.normal(0, 0.2, 600), rng.random(600)])
    found = mean_roc(target, models)
    assert (found.x[0], found.mean[0], found.x[-1], found.mean[-1]) == (0, 0, 1, 1)
    each = []
    for scores in models:
        fpr, tpr, _ = roc_curve(target, scores, drop_intermediate=False)
        each.append([tpr[fpr <= rate + 1e-12].max() for rate in found.x[1:]])
    # between two alarms it rises in a line: by less than the hits that come with one alarm
    assert found.mean[1:] == pytest.approx(np.mean(each, axis=0), abs=0.02)
    assert np.all(found.low <= found.mean)
    assert np.all(found.mean <= found.high)
    areas = [roc_auc_score(target, scores) for scores in models]
    assert np.trapezoid(found.mean, found.x) == pytest.approx(np.mean(areas), abs=0.005)
    alone = mean_roc(target, models[:1])
    assert len(alone.low) == len(alone.high) == 0


def test_a_mean_precision_recall_curve_is_the_vertical_average():
    target, first = random_case(600, 6)
    rng = np.random.default_rng(1)
    models = np.stack([first, first + rng.normal(0, 0.2, 600)])
    found = mean_pr(target, models)
    each = []
    for scores in models:
        precision, recall, _ = precision_recall_curve(target, scores)
        precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # the last point is made up
        each.append([precision[np.argmax(recall >= level - 1e-9)] for level in found.x])
    assert found.mean == pytest.approx(np.mean(each, axis=0), abs=1e-12)
    assert found.low == pytest.approx(np.min(each, axis=0), abs=1e-12)
    aps = [average_precision_score(target, scores) for scores in models]
    assert found.mean.mean() == pytest.approx(np.mean(aps), abs=0.01)


@pytest.mark.parametrize("draw", [mean_roc, mean_pr])
def test_one_class_has_no_mean_curve(draw):
    found = draw([1.0, 1.0, np.nan], [[0.1, 0.2, 0.3]])
    assert len(found.x) == len(found.mean) == 0
