import math
import time

import numpy as np
import pytest
from scipy import stats

from fedcxr.errors import RunError
from fedcxr.metrics.auroc import auroc
from fedcxr.metrics.delong import clustered_test
from fedcxr.metrics.jackknife import jackknife_auroc
from fedcxr.metrics.macro_difference import macro_test


def make_case(seed=0, *, num_patients=30, labels=3, mixed=False, images=6):
    """Patients of 1 to 5 images who have a finding on all of them, or, where mixed, on some."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(num_patients), rng.integers(1, images, num_patients))
    own = rng.random((num_patients, labels)) < 0.4
    target = own[patient] ^ (mixed & (rng.random((len(patient), labels)) < 0.2))
    effect = rng.normal(0, 1, (2, num_patients, labels))[:, patient]
    scores = target + effect + rng.normal(0, 1, (2, len(patient), labels))
    return target.astype(float), scores, patient


def macro_difference(target, scores, rows):
    first, second = (
        np.mean([auroc(t, s) for t, s in zip(target[rows].T, model[rows].T, strict=True)])
        for model in scores
    )
    return first - second


def jackknife_se(without):
    return math.sqrt((len(without) - 1) / len(without) * np.sum((without - without.mean()) ** 2))


@pytest.mark.parametrize("seed", range(5))
def test_the_standard_error_is_that_of_leaving_out_each_patient_in_turn(seed):
    target, scores, patient = make_case(seed)
    found = macro_test(target, scores, patient)
    everyone = np.ones(len(patient), dtype=bool)
    assert found.difference == pytest.approx(macro_difference(target, scores, everyone), abs=1e-14)
    without = np.array([macro_difference(target, scores, patient != p) for p in range(30)])
    assert found.se == pytest.approx(jackknife_se(without), rel=1e-10)


def test_of_one_label_it_is_the_jackknife_of_the_aurocs():
    target, scores, patient = make_case(labels=1)
    first, second = (jackknife_auroc(target[:, 0], s[:, 0], patient) for s in scores)
    assert macro_test(target, scores, patient).se == pytest.approx(
        jackknife_se(first - second), rel=1e-10
    )


def test_patients_with_both_classes_are_left_out_all_but_exactly():
    target, scores, patient = make_case(num_patients=60, mixed=True)
    without = np.array([macro_difference(target, scores, patient != p) for p in range(60)])
    found = macro_test(target, scores, patient)
    assert found.se == pytest.approx(jackknife_se(without), rel=0.05)


def test_with_one_image_a_patient_the_degrees_of_freedom_are_about_satterthwaites():
    # patients of one class share its variance v equally: (a + b)^2 / (a^2 / m + b^2 / n) - 1
    target, scores, patient = make_case(labels=1, images=2, num_patients=80)
    found = macro_test(target, scores, patient)
    test = clustered_test(target[:, 0], scores[:, :, 0], patient)
    assert found.df == pytest.approx(test.df, abs=2)
    # each influence is m / (m - 1) times that of the full class
    assert found.se == pytest.approx(test.se, rel=0.03)
    assert found.se > test.se


def test_a_label_that_is_there_twice_changes_nothing():
    target, scores, patient = make_case()
    once = macro_test(target, scores, patient)
    twice = macro_test(np.tile(target, 2), np.tile(scores, 2), patient)
    assert tuple(twice)[:5] == pytest.approx(tuple(once)[:5], rel=1e-12)


def test_independent_labels_have_more_degrees_of_freedom_than_one():
    target, scores, patient = make_case(num_patients=40, labels=8)
    one = macro_test(target[:, :1], scores[:, :, :1], patient)
    assert macro_test(target, scores, patient).df > 1.3 * one.df


def test_nothing_changes_when_every_record_is_doubled_or_shuffled():
    target, scores, patient = make_case(mixed=True)
    once = macro_test(target, scores, patient)
    order = np.random.default_rng(1).permutation(2 * len(patient)) % len(patient)
    twice = macro_test(target[order], scores[:, order], patient[order])
    assert tuple(twice)[:5] == pytest.approx(tuple(once)[:5], rel=1e-10)


def test_patients_of_unequal_size_have_fewer_degrees_of_freedom():
    rng = np.random.default_rng(0)
    target = np.repeat([[1.0], [0.0]], [60, 300], axis=0)
    scores = rng.normal(target, 1, (2, 360, 1))
    even = np.arange(360) // 3
    uneven = even.copy()
    uneven[:40] = 0  # one patient has two thirds of the positives
    assert macro_test(target, scores, uneven).df < macro_test(target, scores, even).df / 2


def test_p_and_interval_are_those_of_t():
    target, scores, patient = make_case()
    difference, se, t, df, p, ci = macro_test(target, scores, patient, level=0.9)
    assert t == pytest.approx(difference / se)
    assert p == pytest.approx(2 * stats.t.sf(abs(t), df))
    assert ci == pytest.approx(stats.t.interval(0.9, df, difference, se))


def test_a_contrast_takes_the_mean_over_seeds():
    target, scores, patient = make_case()
    four = np.concatenate([scores, scores[::-1] ** 3])
    found = macro_test(target, four, patient, [0.5, 0.5, -0.5, -0.5])
    parts = [macro_test(target, four[[a, b]], patient).difference for a, b in ((0, 2), (1, 3))]
    assert found.difference == pytest.approx(np.mean(parts), abs=1e-14)


def test_an_unknown_target_is_left_out_and_a_label_of_one_class_too():
    target, scores, patient = make_case()
    target[::3, 0] = np.nan
    target[:, 2] = 1
    found = macro_test(target, scores, patient)
    known = macro_difference(target[:, :2], scores[:, :, :2], np.ones(len(patient), dtype=bool))
    assert found.difference == pytest.approx(known, abs=1e-14)
    assert math.isfinite(found.se)


def test_what_cannot_be_computed_is_nan():
    target, scores, patient = make_case()
    nothing = macro_test(np.ones_like(target), scores, patient)
    assert all(map(math.isnan, (*nothing[:5], *nothing.ci)))
    same = macro_test(target, np.stack([scores[0], 2 * scores[0]]), patient)
    assert (same.difference, same.se) == (0, 0)
    assert all(map(math.isnan, (same.t, same.df, same.p, *same.ci)))
    target[:, 0] = patient == 3
    of_one = macro_test(target, scores, patient)
    assert math.isfinite(of_one.difference)
    assert all(map(math.isnan, (of_one.se, of_one.p, *of_one.ci)))


def test_bad_arguments_are_refused():
    target, scores, patient = make_case()
    with pytest.raises(ValueError, match=r"scores \(K, N, L\)"):
        macro_test(target, scores[0], patient)
    with pytest.raises(ValueError, match="patient must be"):
        macro_test(target, scores, patient[:-1])
    with pytest.raises(ValueError, match="one weight an AUROC"):
        macro_test(target, scores, patient, [1.0])
    scores[1, 0, 0] = np.nan
    with pytest.raises(RunError, match="not finite"):
        macro_test(target, scores, patient)


@pytest.mark.alone
def test_25_000_images_of_14_labels_and_six_models_take_under_four_seconds():
    rng = np.random.default_rng(0)
    patient = rng.integers(0, 9000, 25_000)
    target = (rng.random((9000, 14)) < 0.1)[patient].astype(float)
    scores = rng.normal(target, 1, (6, 25_000, 14))
    start = time.process_time()
    macro_test(target, scores, patient, [1 / 3] * 3 + [-1 / 3] * 3)
    assert time.process_time() - start < 4
