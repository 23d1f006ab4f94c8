import numpy as np
import pytest

from fedcxr.parameters import Parameters
from server.mean import _SLICE, RunningMean


def mean_of(*updates):
    running = RunningMean()
    for weight, vector, *counters in updates:
        vector = np.asarray(vector, np.float32)
        running.add(Parameters(vector, np.int64(counters[0] if counters else [])), weight)
    return running.mean()


def random_updates(number, size, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (int(rng.integers(1, 500)), rng.normal(size=size).astype(np.float32)) for _ in range(number)
    ]


def test_mean_is_weighted_by_examples():
    # (10·1 + 30·4) / 40 = 3.25
    assert mean_of((10, [1]), (30, [4])).vector.tolist() == [3.25]


def test_the_mean_of_one_site_is_its_own_vector():
    vector = np.float32([0.1, -3e-8, 7e30])
    np.testing.assert_array_equal(mean_of((17, vector)).vector, vector)


def test_equal_vectors_stay_as_they_are():
    vector = np.float32([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(mean_of((1, vector), (2, vector), (4, vector)).vector, vector)


def test_weights_times_ten_give_the_same_mean():
    updates = random_updates(7, 1000)
    scaled = [(10 * weight, vector) for weight, vector in updates]
    np.testing.assert_allclose(mean_of(*scaled).vector, mean_of(*updates).vector, rtol=1e-6)


def test_the_mean_agrees_with_numpy():
    updates = random_updates(9, 1000)
    expected = np.average([v for _, v in updates], axis=0, weights=[w for w, _ in updates])
    np.testing.assert_allclose(mean_of(*updates).vector, expected, rtol=1e-6, atol=1e-6)


def test_the_same_order_gives_the_same_bits():
    updates = random_updates(9, 5000)
    assert mean_of(*updates).sha256() == mean_of(*updates).sha256()


def test_another_order_gives_the_same_mean_up_to_rounding():
    updates = random_updates(9, 1000)
    np.testing.assert_allclose(mean_of(*updates).vector, mean_of(*updates[::-1]).vector, rtol=1e-6)


@pytest.mark.parametrize("size", [_SLICE - 1, _SLICE, _SLICE + 1, 2 * _SLICE + 3])
def test_a_vector_of_several_slices_is_averaged_whole(size):
    first = np.arange(size, dtype=np.float32)
    mean = mean_of((1, first), (3, first + 4))
    # (x + 3·(x + 4)) / 4 = x + 3, exact in float32 below 2^24
    np.testing.assert_array_equal(mean.vector, first + 3)


def test_counters_are_the_largest_and_stay_integers():
    mean = mean_of((10, [1], [5, 100]), (30, [1], [9, 2**40]), (1, [1], [7, 3]))
    assert mean.counters.tolist() == [9, 2**40]
    assert mean.counters.dtype == np.int64


def test_the_sum_is_kept_in_double_precision():
    # In float32 the ones would vanish beside 1e8: (1e8 + 4096·1) / 4097 = 24409.08…
    updates = [(1, [1e8]), *[(1, [1.0])] * 4096]
    assert mean_of(*updates).vector[0] == np.float32((1e8 + 4096) / 4097)


def test_what_was_added_is_not_changed():
    vector, counters = np.ones(3, np.float32), np.int64([1])
    running = RunningMean()
    running.add(Parameters(vector, counters), 2)
    running.add(Parameters(np.zeros(3, np.float32), np.int64([9])), 2)
    assert (vector.tolist(), counters.tolist()) == ([1, 1, 1], [1])


def test_the_mean_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="nothing was added"):
        RunningMean().mean()
