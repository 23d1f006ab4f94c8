"""The test for copied training images: right when nothing is copied, and sharp when some are."""

import numpy as np
import pytest

from fedcxr.metrics.copying import copy_test, patient_distances
from fedcxr.metrics.kernel_distance import kernel_distance


def draw(rng, number, dims=12):
    return rng.normal(size=(number, dims)).astype(np.float32)


def test_of(samples, trained, held_out, rng):
    real = np.concatenate([trained, held_out])
    distance = patient_distances(samples, real, np.arange(len(real)))
    return copy_test(distance, np.arange(len(real)) < len(trained), rng)


test_of.__test__ = False


def test_without_copies_the_p_value_is_small_as_often_as_it_says():
    # 100 studies of samples that know nothing of the training images, of which there are more
    small, copies = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = test_of(draw(rng, 60), draw(rng, 80), draw(rng, 20), rng)
        small += found.p_value <= 0.1
        copies.append(found.copies.mean())
    assert 3 <= small <= 18  # 10 of 100; 95 % of such counts lie from 4 to 16
    assert np.mean(copies) < 0.04  # 1 of 100 samples by chance, and a threshold found from few


def test_copies_are_found_and_named():
    rng = np.random.default_rng(0)
    trained, held_out = draw(rng, 80), draw(rng, 20)
    copied = trained[:15] + 0.05 * draw(rng, 15)
    found = test_of(np.concatenate([copied, draw(rng, 45)]), trained, held_out, rng)
    assert found.p_value <= 0.01
    assert found.copies[:15].all()
    assert found.copies[15:].mean() < 0.1


def test_the_distance_to_a_patient_is_that_to_the_nearest_of_their_images():
    rng = np.random.default_rng(1)
    samples, real = draw(rng, 5, 3), draw(rng, 6, 3)
    patient = np.array([2, 0, 1, 0, 2, 2])
    by_hand = np.linalg.norm(samples[:, None] - real[None], axis=2)
    expected = np.stack([by_hand[:, patient == p].min(axis=1) for p in range(3)], axis=1)
    np.testing.assert_allclose(patient_distances(samples, real, patient), expected, rtol=1e-5)


def test_the_kernel_distance_has_no_bias_and_grows_with_a_shift():
    rng = np.random.default_rng(2)
    same = [kernel_distance(draw(rng, 20), draw(rng, 30)) for _ in range(200)]
    assert np.mean(same) == pytest.approx(0, abs=3 * np.std(same) / np.sqrt(200))
    shifted = kernel_distance(draw(rng, 50), draw(rng, 50) + 1)
    assert shifted > 5 * np.std(same)
