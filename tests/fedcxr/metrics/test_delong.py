import math
import time

import numpy as np
import pytest
from MLstatkit import Delong_test
from scipy import stats
from sklearn.metrics import roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics.delong import (
    clustered,
    clustered_placements,
    clustered_test,
    delong,
    delong_placements,
    z_test,
)


def make_case(seed=0, *, num=80, arms=3, ties=False):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < 0.4).astype(float)
    scores = rng.normal(target, 1.0, (arms, num)) + rng.normal(0, 1, num)
    return target, scores.round(0 if ties else 6)


def make_patients(seed=0, *, num_patients=25, mixed=True):
    """Patients of 1 to 6 images; where mixed, one patient has images with and without."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(num_patients), rng.integers(1, 7, num_patients))
    own = rng.random(num_patients) < 0.4
    target = own[patient] ^ (mixed & (rng.random(len(patient)) < 0.2))
    effect = rng.normal(0, 1, (2, num_patients))[:, patient]
    scores = target + effect + rng.normal(0, 1, (2, len(patient)))
    shuffled = rng.permutation(len(patient))
    return target[shuffled].astype(float), scores[:, shuffled], patient[shuffled]


def test_covariance_of_four_images_is_that_computed_by_hand():
    # arm 1: positives .35, .8 above 1 and 2 of the negatives .1, .4: placements .5, 1; AUROC .75
    # arm 2: positives .2, .9 above 0 and 2 of the negatives .3, .5: placements 0, 1; AUROC .5
    # negatives, arm 1: below 2 and 1 of 2: 1, .5; arm 2: below 1 and 1: .5, .5
    # var 1 = (.125 + .125) / 2; var 2 = (.5 + 0) / 2; cov = (.25 + 0) / 2
    aurocs, cov = delong([0, 0, 1, 1], [[0.1, 0.4, 0.35, 0.8], [0.3, 0.5, 0.2, 0.9]])
    assert aurocs == pytest.approx([0.75, 0.5], abs=1e-15)
    assert cov == pytest.approx(np.array([[0.125, 0.125], [0.125, 0.25]]), abs=1e-15)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_midranks_give_what_all_pairs_give(seed, ties):
    target, scores = make_case(seed, ties=ties)
    aurocs, cov = delong(target, scores)
    slow_aurocs, slow_cov = delong_placements(target, scores)
    assert aurocs == pytest.approx(slow_aurocs, abs=1e-13)
    assert cov == pytest.approx(slow_cov, abs=1e-14)
    assert aurocs == pytest.approx([roc_auc_score(target, row) for row in scores], abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_equal_to_mlstatkit(seed):
    target, scores = make_case(seed, arms=2, ties=seed % 2 == 0)
    # versions differ in what else they return; z and p always come first
    z, p = Delong_test(target.astype(int), scores[0], scores[1])[:2]
    ours = z_test(*delong(target, scores))
    assert abs(ours.z) == pytest.approx(abs(z), abs=1e-10)
    assert ours.p == pytest.approx(p, abs=1e-10)


def test_a_single_auroc_has_the_variance_of_its_placements():
    # the published estimate: sample variance of the placements over their number, both classes
    target, scores = make_case(arms=1)
    positive, negative = scores[0, target == 1], scores[0, target == 0]
    above = (positive[:, None] > negative).mean(axis=1)
    below = (positive[:, None] > negative).mean(axis=0)
    expected = np.var(above, ddof=1) / len(above) + np.var(below, ddof=1) / len(below)
    assert delong(target, scores)[1].item() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("seed", range(10))
def test_clustered_is_delong_where_every_patient_has_one_image(seed):
    target, scores = make_case(seed, ties=seed % 2 == 0)
    names = np.array([f"p{n:03d}" for n in np.random.default_rng(seed).permutation(len(target))])
    aurocs, cov = clustered(target, scores, names)
    assert aurocs == pytest.approx(delong(target, scores)[0], abs=1e-14)
    assert cov == pytest.approx(delong(target, scores)[1], abs=1e-15)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_clustered_gives_what_its_sums_over_patients_give(seed, mixed):
    target, scores, patient = make_patients(seed, mixed=mixed)
    aurocs, cov = clustered(target, scores, patient)
    slow_aurocs, slow_cov = clustered_placements(target, scores, patient)
    assert aurocs == pytest.approx(slow_aurocs, abs=1e-13)
    assert cov == pytest.approx(slow_cov, abs=1e-14)


@pytest.mark.parametrize("mixed", [False, True])
def test_clustered_does_not_change_when_every_record_is_doubled(mixed):
    target, scores, patient = make_patients(mixed=mixed)
    once = clustered(target, scores, patient)
    twice = clustered(np.tile(target, 2), np.tile(scores, 2), np.tile(patient, 2))
    assert twice[0] == pytest.approx(once[0], abs=1e-14)
    assert twice[1] == pytest.approx(once[1], abs=1e-15)
    # where DeLong's own takes them for new patients, and halves the variance
    assert delong(np.tile(target, 2), np.tile(scores, 2))[1][0, 0] < 0.6 * once[1][0, 0]


def test_clustered_covariance_of_two_pairs_of_patients_is_that_computed_by_hand():
    # patients a (scores 3, 1) and b (4) with the finding, c (2, 0) and d (2.5) without; AUROC:
    # 3 beats 3 of 3 negatives, 1 beats 1, 4 beats 3: 7 / 9
    # positives: a: 1 + 1/3 - 2 × 7/9 = -2/9; b: 1 - 7/9 = 2/9; S10/M = 2 / 1 × 8/81 / 9 = 16/729
    # negatives: 2 is below 2 of 3, 0 below 3, 2.5 below 2: c: 5/3 - 14/9 = 1/9, d: -1/9
    # S01/N = 2 × 2/81 / 9 = 4/729; nobody has both
    target = [1, 1, 1, 0, 0, 0]
    aurocs, cov = clustered(target, [[3, 1, 4, 2, 0, 2.5]], ["a", "a", "b", "c", "c", "d"])
    assert aurocs == pytest.approx([7 / 9])
    assert cov == pytest.approx(np.array([[20 / 729]]))


def test_an_unknown_target_is_left_out():
    target, scores, patient = make_patients()
    target[::4] = np.nan
    known = ~np.isnan(target)
    kept = clustered(target[known], scores[:, known], patient[known])
    assert clustered(target, scores, patient)[1] == pytest.approx(kept[1], abs=1e-18)
    assert delong(target, scores)[1] == pytest.approx(
        delong(target[known], scores[:, known])[1], abs=1e-18
    )


@pytest.mark.parametrize("function", [delong, delong_placements])
def test_a_missing_class_gives_nan_and_one_image_of_it_no_covariance(function):
    aurocs, cov = function([1, 1, 1], [[0.1, 0.2, 0.3]])
    assert np.isnan(aurocs).all()
    assert np.isnan(cov).all()
    aurocs, cov = function([1, 0, 1], [[0.1, 0.2, 0.3]])
    assert aurocs == pytest.approx([0.5])
    assert np.isnan(cov).all()


@pytest.mark.parametrize("function", [clustered, clustered_placements])
def test_positives_of_one_patient_give_no_clustered_covariance(function):
    aurocs, cov = function([1, 1, 0, 0], [[0.3, 0.4, 0.2, 0.1]], ["a", "a", "b", "c"])
    assert aurocs == pytest.approx([1.0])
    assert np.isnan(cov).all()
    test = clustered_test([1, 1, 0, 0], [[0.3, 0.4, 0.2, 0.1]] * 2, ["a", "a", "b", "c"])
    assert test.difference == 0
    assert all(map(math.isnan, (test.se, test.t, test.df, test.p, *test.ci)))


def test_z_is_the_difference_over_its_standard_error():
    target, scores = make_case(arms=2)
    aurocs, cov = delong(target, scores)
    difference, se, z, p, ci = z_test(aurocs, cov, level=0.9)
    assert difference == pytest.approx(aurocs[0] - aurocs[1])
    assert se == pytest.approx(math.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))
    assert z == pytest.approx(difference / se)
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert ci == pytest.approx(stats.norm.interval(0.9, difference, se))


def test_a_contrast_is_the_difference_of_the_means_over_seeds():
    target, scores, patient = make_patients()
    contrast = [0.5, 0.5, -0.5, -0.5]
    four = np.concatenate([scores, scores[::-1] * [[1.0], [0.5]]])
    aurocs, cov = clustered(target, four, patient)
    found = clustered_test(target, four, patient, contrast)
    assert found.difference == pytest.approx((aurocs[:2].sum() - aurocs[2:].sum()) / 2, abs=1e-15)
    assert z_test(aurocs, cov, contrast).difference == pytest.approx(found.difference)


def test_scores_that_rank_alike_have_no_test():
    target, scores, patient = make_patients()
    same = np.stack([scores[0], 2 * scores[0] + 1])
    for test in (z_test(*delong(target, same)), z_test(*clustered(target, same, patient))):
        assert (test.difference, test.se) == (0, 0)
        assert math.isnan(test.z)
        assert math.isnan(test.p)
        assert all(map(math.isnan, test.ci))
    assert math.isnan(clustered_test(target, same, patient).p)


def test_with_one_image_a_patient_and_independent_arms_t_has_satterthwaites_degrees():
    # one arm scores all alike (AUROC 1/2, no variance), so the difference is one AUROC less 1/2 and
    # the test is Brunner and Munzel's, which scipy has
    target, scores = make_case(arms=1, num=30)
    flat = np.zeros_like(scores)
    found = clustered_test(target, np.concatenate([scores, flat]), np.arange(30))
    positive, negative = scores[0, target == 1], scores[0, target == 0]
    expected = stats.brunnermunzel(negative, positive)
    assert found.t == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)


def test_t_is_wider_than_z_and_agrees_with_it_for_many_patients():
    target, scores, patient = make_patients()
    t, z = clustered_test(target, scores, patient), z_test(*clustered(target, scores, patient))
    assert t.se == pytest.approx(z.se, rel=1e-12)
    assert t.ci[1] - t.ci[0] > z.ci[1] - z.ci[0]
    assert t.p > z.p
    target, scores, patient = make_patients(num_patients=4000)
    t, z = clustered_test(target, scores, patient), z_test(*clustered(target, scores, patient))
    assert t.ci == pytest.approx(z.ci, abs=1e-4)


def test_bad_arguments_are_refused():
    target, scores, patient = make_patients()
    with pytest.raises(ValueError, match=r"target \(N,\) and scores \(K, N\)"):
        delong(target, scores[0])
    with pytest.raises(ValueError, match="patient must be"):
        clustered(target, scores, patient[:-1])
    with pytest.raises(ValueError, match="one weight an AUROC"):
        clustered_test(target, scores, patient, [1.0, 0.0, -1.0])
    with pytest.raises(ValueError, match="target must be 0, 1 or nan"):
        delong(target + 1, scores)
    scores[0, 0] = np.inf
    with pytest.raises(RunError, match="not finite"):
        clustered(target, scores, patient)


@pytest.mark.alone
def test_25_000_images_take_under_half_a_second():
    rng = np.random.default_rng(0)
    patient = rng.integers(0, 9000, 25_000)
    target = (rng.random(9000) < 0.1)[patient].astype(float)
    scores = rng.normal(target, 1, (2, 25_000))
    start = time.process_time()
    clustered_test(target, scores, patient)
    assert time.process_time() - start < 0.5
