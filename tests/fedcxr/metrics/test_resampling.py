import numpy as np
import pytest

from fedcxr.metrics.resampling import draw_patients, group, image_weights, patient_weights
from fedcxr.seeding import derive_rng

PATIENT = np.array([2, 0, 1, 0, 2, 2, 3])


def all_weights(patient, resamples, seed, **kwargs):
    return np.concatenate(list(image_weights(patient, resamples, seed, **kwargs)))


def test_an_image_weighs_as_often_as_its_patient_was_drawn():
    drawn = draw_patients(derive_rng(3, "bootstrap"), 25, 4)  # (25, 4)
    expected = (drawn[:, :, None] == PATIENT).sum(axis=1)  # (25, 7)
    assert np.array_equal(all_weights(PATIENT, 25, 3), expected)


def test_the_draws_of_a_seed_are_fixed_for_good():
    # A change here would change every published interval.
    assert draw_patients(derive_rng(0, "bootstrap"), 2, 6).tolist() == [
        [3, 3, 4, 5, 1, 4],
        [5, 3, 2, 1, 0, 4],
    ]


def test_how_many_are_taken_at_once_does_not_matter():
    whole = all_weights(PATIENT, 50, 1)
    assert np.array_equal(all_weights(PATIENT, 50, 1, elements=21), whole)
    assert np.array_equal(all_weights(PATIENT, 50, 1, elements=1), whole)


def test_as_many_patients_are_drawn_as_there_are():
    weights = np.concatenate(list(patient_weights(9, 100, 0, at_once=7)))
    assert weights.shape == (100, 9)
    assert np.all(weights.sum(axis=1) == 9)
    # binomial(9, 1/9): each patient 100 times in 100 resamples, give or take 6 standard errors
    assert weights.sum(axis=0) == pytest.approx(np.full(9, 100), abs=6 * np.sqrt(100 * 8 / 9))


def test_another_seed_draws_others():
    assert not np.array_equal(all_weights(PATIENT, 50, 1), all_weights(PATIENT, 50, 2))


def test_patients_are_numbered_in_the_order_of_their_names():
    assert group(["b", "a", "c", "a"]).tolist() == [1, 0, 2, 0]
    assert group(np.array([70, 5, 70])).tolist() == [1, 0, 1]
