import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fedcxr.metrics.areas import find_places, find_steps, weighted_areas
from fedcxr.metrics.auroc import rank, weighted_auroc


def random_case(seed, num=400, decimals=None, num_patients=90):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < 0.3).astype(float)
    target[::11] = np.nan
    probs = np.clip(rng.normal(0.4 + 0.2 * np.nan_to_num(target), 0.25), 0, 1)
    patient = np.append(np.arange(num_patients), rng.integers(0, num_patients, num - num_patients))
    return target, probs if decimals is None else probs.round(decimals), patient


@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
def test_the_auroc_is_that_of_ranks_to_the_last_bit(decimals):
    target, probs, _ = random_case(1, decimals=decimals)
    times = np.random.default_rng(4).poisson(1.0, (20, len(target)))
    found = weighted_areas(find_steps(target, probs, np.arange(len(target))), times.T)
    assert np.array_equal(found.auroc, weighted_auroc(rank(target, probs), times))


@pytest.mark.parametrize("decimals", [None, 1])
def test_both_areas_equal_sklearn_under_weights_that_are_not_whole(decimals):
    target, probs, _ = random_case(2, decimals=decimals)
    mass = np.random.default_rng(5).exponential(size=(6, len(target)))
    found = weighted_areas(find_steps(target, probs, np.arange(len(target))), mass.T)
    known = ~np.isnan(target)
    for place, one in enumerate(mass):
        case = target[known], probs[known]
        roc = roc_auc_score(*case, sample_weight=one[known])
        ap = average_precision_score(*case, sample_weight=one[known])
        assert found.auroc[place] == pytest.approx(roc, abs=1e-12)
        assert found.ap[place] == pytest.approx(ap, abs=1e-12)


def test_the_weight_of_a_patient_goes_for_all_the_images():
    target, probs, patient = random_case(3, decimals=1)
    times = np.random.default_rng(6).poisson(1.0, (15, patient.max() + 1))
    by_patient = weighted_areas(find_steps(target, probs, patient), times.T)
    by_image = weighted_areas(
        find_steps(target, probs, np.arange(len(target))), times[:, patient].T
    )
    np.testing.assert_array_equal(by_patient.auroc, by_image.auroc)
    np.testing.assert_array_equal(by_patient.ap, by_image.ap)


def test_a_weighting_that_loses_a_class_has_no_auroc():
    target, probs = np.array([0.0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    weights = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1]]).T
    found = weighted_areas(find_steps(target, probs, np.arange(4)), weights)
    # all: the positive 0.2 beats one of two, 0.4 both: 3/4; precision 1/1 and 2/3
    np.testing.assert_allclose(found.auroc, [np.nan, np.nan, 3 / 4], rtol=1e-15)
    np.testing.assert_allclose(found.ap, [np.nan, 1, 5 / 6], rtol=1e-15)


@pytest.mark.parametrize("target", [[0, 0, 0], [np.nan] * 3, [1, 1, 1]])
def test_one_class_has_no_auroc_under_any_weights(target):
    steps = find_steps(np.array(target, float), np.array([0.1, 0.2, 0.2]), np.arange(3))
    assert np.isnan(weighted_areas(steps, np.ones((3, 2), np.int64)).auroc).all()


def test_rows_come_in_at_the_first_positive_that_they_reach():
    # positives at 0.8 and 0.4; 0.9 and 0.8 are in with the first, 0.5 and 0.4 with the second
    target = np.array([1.0, 1, 0, 0, 0, 0, 0])
    probs = np.array([0.8, 0.4, 0.9, 0.8, 0.5, 0.4, 0.1])
    step, tied, num_steps = find_places(target, probs)
    assert step.tolist() == [0, 1, 0, 0, 1, 1, 2]
    assert tied.tolist() == [False, False, False, True, False, True, False]
    assert num_steps == 2
