import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fedcxr.metrics.confusion import (
    RATIOS,
    Estimate,
    check_draws,
    confusion_cells,
    estimate,
    estimate_of,
    measure,
    patients_behind,
    resampled_counts,
)
from fedcxr.metrics.resampling import image_weights

NAN = float("nan")


def random_cells(seed=0, num=300, num_patients=80, cells=(3, 4)):
    rng = np.random.default_rng(seed)
    patient = np.append(np.arange(num_patients), rng.integers(0, num_patients, num - num_patients))
    return rng.random((num, *cells)) < 0.3, rng.permutation(patient)


def test_an_image_is_in_the_cell_of_its_target_and_call():
    truth, scores = np.array([1.0, 1, 0, 0, NAN]), np.array([0.5, 0.4, 0.5, 0.4, 0.9])
    # tp, fn, fp, tn; the unknown target is in none, and the cut itself is called positive
    expected = np.vstack([np.eye(4), np.zeros((1, 4))]).astype(bool)
    assert np.array_equal(confusion_cells(truth, scores, 0.5), expected)


def test_a_cut_of_nan_calls_nothing():
    cells = confusion_cells(np.array([1.0, 0.0]), np.array([0.9, 1.0]), NAN)
    assert cells.sum(axis=0).tolist() == [0, 1, 0, 1]


def test_counts_of_patients_and_resamples_equal_weighted_sums_over_the_images():
    cells, patient = random_cells()
    counts, draws = resampled_counts(cells, patient, 300, 5)
    weights = np.concatenate(list(image_weights(patient, 300, 5)))
    assert np.array_equal(draws, np.einsum("rn,nlc->rlc", weights, cells))
    for one in range(80):
        assert np.array_equal(counts[one], cells[patient == one].sum(axis=0))


def test_counts_are_the_same_bits_for_any_number_of_threads():
    cells, patient = random_cells(num=3000, num_patients=900, cells=(10, 3, 4))
    with threadpool_limits(1):
        alone = resampled_counts(cells, patient, 400, 1)
    together = resampled_counts(cells, patient, 400, 1)
    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))


def test_measures_by_hand():
    # tp 6, fn 2, fp 3, tn 9: 6/8, 9/12, 3/12, 6/9, 9/11, 15/20, 12/17
    cells = np.array([6.0, 2.0, 3.0, 9.0])
    expected = {
        "sensitivity": 6 / 8,
        "specificity": 9 / 12,
        "fpr": 3 / 12,
        "ppv": 6 / 9,
        "npv": 9 / 11,
        "accuracy": 15 / 20,
        "f1": 12 / 17,
    }
    assert {name: float(measure(name, cells)) for name in RATIOS} == pytest.approx(expected)


def test_a_measure_of_nothing_is_nan():
    assert all(np.isnan(measure(name, np.zeros(4))) for name in RATIOS)
    only_negatives = np.array([0.0, 0, 2, 5])
    assert np.isnan(measure("f1", only_negatives))  # no recall, so not 0


def test_patients_are_counted_where_they_have_an_image_behind_the_measure():
    # patients a, b, c: a has a tp and an fn, b a fp, c a tn
    counts = np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    found = {name: int(patients_behind(name, counts)) for name in RATIOS}
    expected = {"sensitivity": 1, "specificity": 2, "fpr": 2, "ppv": 2, "npv": 2, "accuracy": 3}
    assert found == {**expected, "f1": 1}


def test_an_interval_is_the_percentile_of_the_draws_that_have_a_value():
    draws = np.append(np.linspace(0, 1, 101), [NAN] * 7)
    found = estimate(0.5, draws, 0.9)
    assert found.ci == pytest.approx((0.05, 0.95))
    assert found.reason is None


def test_what_has_no_interval_says_why():
    assert estimate(0.5, np.full(3, NAN), 0.9).reason == (
        "no interval: it cannot be computed in any resample"
    )
    assert estimate(1.0, np.array([1.0, NAN, 1.0]), 0.9) == Estimate(
        1.0, None, "no interval: every resample gives the same value"
    )
    draws = np.array([0.2, 0.4])
    assert estimate_of("npv", 0.3, draws, patients=1, level=0.9).reason == (
        "no interval: all images called negative are of one patient"
    )
    assert (
        estimate_of("ppv", NAN, draws, patients=0, level=0.9).reason == "no image called positive"
    )
    assert estimate_of("ppv", 0.3, draws, patients=2, level=0.5).ci == pytest.approx((0.25, 0.35))


def test_draws_that_cannot_be_made_are_refused():
    assert check_draws(3, ["b", "a", "b"], 1, 0.5).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="patient_id must be"):
        check_draws(2, ["a"], 10, 0.95)
    with pytest.raises(ValueError, match="not empty"):
        check_draws(0, [], 10, 0.95)
    with pytest.raises(ValueError, match="resamples >= 1"):
        check_draws(1, ["a"], 0, 0.95)
    with pytest.raises(ValueError, match="level < 1"):
        check_draws(1, ["a"], 1, 1.0)
