import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fedcxr.metrics.areas import find_steps, weighted_areas
from fedcxr.metrics.jackknife import jackknife
from fedcxr.metrics.patient_images import group


def random_case(seed, *, num=150, num_patients=40, decimals=None, prevalence=0.3):
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    target = (rng.random(num) < prevalence).astype(float)
    probs = rng.normal(0.8 * target + rng.normal(0, 0.5, num_patients)[patient])
    target[::9] = np.nan
    return target, probs if decimals is None else probs.round(decimals), patient


def without(target, probs, patient):
    """Return both areas (P,) without each patient."""
    found = jackknife(np.array(target, dtype=float), np.array(probs), group(patient))
    return found.auroc[1:], found.ap[1:]


def one_by_one(score, target, probs, patient):
    """Leave each patient out for real and let scikit-learn score the rest."""
    out = []
    for name in np.unique(patient):
        rows = (patient != name) & ~np.isnan(target)
        both = len(np.unique(target[rows])) == 2
        out.append(score(target[rows], probs[rows]) if both else np.nan)
    return np.array(out)


def test_a_hand_computed_jackknife():
    # positives 0.35 and 0.8, negatives 0.1 and 0.4, each a patient: without 0.1 one pair of two
    # is in order, without 0.4 or 0.35 all are, without 0.8 one of two
    found, _ = without([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [0, 1, 2, 3])
    assert found.tolist() == [0.5, 1.0, 1.0, 0.5]


@pytest.mark.parametrize("num_patients", [150, 40, 6])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_leaving_each_patient_out(seed, decimals, num_patients):
    case = random_case(seed, decimals=decimals, num_patients=num_patients)
    roc = one_by_one(roc_auc_score, *case)
    ap = one_by_one(average_precision_score, *case)
    for found, expected in zip(without(*case), (roc, ap), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prevalence", [0.03, 0.9])
def test_equals_leaving_each_patient_out_where_one_class_is_rare(prevalence):
    case = random_case(7, prevalence=prevalence, num_patients=30)
    roc = one_by_one(roc_auc_score, *case)
    ap = one_by_one(average_precision_score, *case)
    for found, expected in zip(without(*case), (roc, ap), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_one_patient_of_many_images_among_patients_of_one():
    target, probs, _ = random_case(3)
    patient = np.append(np.zeros(70, int), np.arange(1, 81))
    roc = one_by_one(roc_auc_score, target, probs, patient)
    ap = one_by_one(average_precision_score, target, probs, patient)
    found = jackknife(target, probs, patient)
    np.testing.assert_allclose(found.auroc[1:], roc, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.ap[1:], ap, rtol=0, atol=1e-12)


def test_equals_weights_of_zero_for_the_patient():
    target, probs, patient = random_case(4, num=2000, num_patients=500, decimals=2)
    steps = find_steps(target, probs, patient)
    zeroed = weighted_areas(steps, 1 - np.eye(500, dtype=np.int64))
    found = jackknife(target, probs, patient)
    assert np.array_equal(found.auroc[1:], zeroed.auroc)  # both from whole pairs: exact
    np.testing.assert_allclose(found.ap[1:], zeroed.ap, rtol=0, atol=1e-12)


def test_a_patient_who_has_all_of_a_class_leaves_nothing():
    found, _ = without([1, 1, 0, 0], [0.9, 0.2, 0.5, 0.1], ["a", "a", "b", "c"])
    # without b: 0.9 > 0.1, 0.2 > 0.1; without c: 0.9 > 0.5 alone
    np.testing.assert_array_equal(found, [np.nan, 1.0, 0.5])


def test_a_patient_without_a_known_target_changes_nothing():
    target, probs = [1, 0, 0, 1, np.nan], [0.9, 0.5, 0.7, 0.6, 0.2]
    found = jackknife(np.array(target), np.array(probs), np.arange(5))
    assert found.auroc[1 + 4] == 0.75
    assert found.ap[1 + 4] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("target", [[1, 1], [0, 0], [np.nan, np.nan]])
def test_one_class_has_no_jackknife(target):
    assert np.isnan(without(target, [0.1, 0.2], [0, 1])[0]).all()


def test_without_the_average_precision_the_auroc_is_the_same():
    target, probs, patient = random_case(5)
    both = jackknife(target, probs, patient)
    alone = jackknife(target, probs, patient, with_ap=False)
    assert np.array_equal(alone.auroc, both.auroc)
    assert np.isnan(alone.ap).all()


def test_what_does_not_agree_is_refused():
    with pytest.raises(ValueError, match="patient must be"):
        jackknife(np.array([0.0, 1]), np.array([0.1, 0.2]), np.array([0]))


@pytest.mark.alone
def test_nine_thousand_patients_of_25000_images_take_a_tenth_of_a_second():
    rng = np.random.default_rng(0)
    target = (rng.random(25_000) < 0.15).astype(float)
    probs, patient = rng.normal(target), rng.integers(0, 9_000, 25_000)
    start = time.process_time()
    for _ in range(5):
        jackknife(target, probs, np.unique(patient, return_inverse=True)[1])
    assert (time.process_time() - start) / 5 < 0.1
