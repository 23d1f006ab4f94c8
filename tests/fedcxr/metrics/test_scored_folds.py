"""Folds of a cross-validation: areas within folds, averaged, and moved by each fold's patients."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcxr.metrics.scored_areas import score_models
from fedcxr.metrics.scored_folds import join_folds

LABELS = ("Edema", "Mass")
WEIGHTS = np.array([[1.0, -1, 0, 0, 0, 0], [0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 1, -1]])
"""Two arms on three folds: the fold's first model minus its second."""


def make_fold(number, patients=14):
    """Two models of one fold, 1 to 3 images a patient; each fold's scores have a scale."""
    rng = np.random.default_rng(number)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    target = (rng.random((patients, 2)) < 0.5).astype(float)[patient]
    scores = 10.0**number * rng.normal(target, 1.0, (2, *target.shape))
    return target, scores, patient


def joined(folds):
    return join_folds([score_models(*each, LABELS)["auroc"] for each in folds])


def mean_difference(folds):
    """Return the mean over folds and labels of the first model's AUROC minus the second's."""
    apart = [
        roc_auc_score(target[:, column], scores[0][:, column])
        - roc_auc_score(target[:, column], scores[1][:, column])
        for target, scores, _ in folds
        for column in range(len(LABELS))
    ]
    return np.mean(apart)


def test_a_mean_over_folds_is_of_areas_within_folds_and_moves_with_every_patient():
    folds = [make_fold(number) for number in range(3)]
    contrast = WEIGHTS.mean(axis=0)
    found = joined(folds).difference(contrast, [0, 1], 0.95)
    assert found.value == pytest.approx(mean_difference(folds))
    without = []
    for number, (target, scores, patient) in enumerate(folds):
        for left_out in range(patient.max() + 1):
            kept = patient != left_out
            others = [each for place, each in enumerate(folds) if place != number]
            without.append(
                mean_difference([*others, (target[kept], scores[:, kept], patient[kept])])
            )
    moved = mean_difference(folds) - np.array(without)
    num = len(moved)
    variance = (num - 1) / num * np.sum((moved - moved.mean()) ** 2)
    assert num == 3 * 14
    assert found.parts[0].variance == pytest.approx(variance)


def test_over_folds_the_spread_of_their_differences_is_all_that_counts():
    folds = [make_fold(number) for number in range(3)]
    by_fold = [mean_difference([each]) for each in folds]
    found = joined(folds).fold_difference(WEIGHTS, [0, 1], 0.95, test_share=0.6)
    assert found.value == pytest.approx(np.mean(by_fold))
    (part,) = found.parts
    assert part.variance == pytest.approx((1 / 3 + 0.6) * np.var(by_fold, ddof=1))
    assert part.df == 2


def test_what_the_folds_share_of_the_patients_variance_is_nothing():
    # By the rule for trainings on one test set, (S v − v₁) / (S − 1): no patient is in two folds.
    folds = [make_fold(number, patients=60) for number in range(3)]
    found = joined(folds).method_difference(WEIGHTS, [0, 1], 0.95)
    own = joined(folds).difference(WEIGHTS.mean(axis=0), [0, 1], 0.95)
    assert found.parts[0].variance < 1e-3 * own.parts[0].variance


def test_patients_are_counted_in_all_folds_and_in_the_one_that_has_fewest():
    folds = [make_fold(number) for number in range(3)]
    counts = np.array([score_models(*each, LABELS)["auroc"].patients for each in folds])
    found = joined(folds)
    assert np.array_equal(found.patients, counts.sum(axis=0))
    assert np.array_equal(found.fewest, counts.min(axis=0))
    assert len({tuple(each) for each in counts[:, 0].tolist()}) > 1


def test_a_label_that_one_fold_lacks_has_no_mean_and_the_fold_is_named():
    folds = [make_fold(number) for number in range(3)]
    folds[1][0][:, 1] = 0.0
    found = joined(folds)
    nothing = found.difference(WEIGHTS.mean(axis=0), [1], 0.95)
    assert np.isnan(nothing.value)
    assert nothing.reason == "no known positive, in fold 1"
    both = found.difference(WEIGHTS.mean(axis=0), [0, 1], 0.95)
    assert both.value == found.difference(WEIGHTS.mean(axis=0), [0], 0.95).value


def test_one_fold_is_left_as_it_is():
    scored = score_models(*make_fold(0), LABELS)["auroc"]
    assert join_folds([scored]) is scored
