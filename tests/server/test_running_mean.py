import numpy as np
import pytest

from server.aggregate.mean import _SLICE, RunningMean


def mean_of(make_update, *updates):
    size = len(np.atleast_1d(updates[0][1]))
    running = RunningMean(make_update.place(size))
    for weight, values, *counters in updates:
        running.add(make_update(values, weight, counters[0] if counters else []))
    return running.result()


def random_updates(number, size, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (int(rng.integers(1, 500)), rng.normal(size=size).astype(np.float32)) for _ in range(number)
    ]


def test_mean_is_weighted_by_examples(make_update):
    # (10·1 + 30·4) / 40 = 3.25
    assert mean_of(make_update, (10, [1]), (30, [4])).update.tolist() == [3.25]


def test_the_mean_of_one_site_is_its_own_vector(make_update):
    vector = np.float32([0.1, -3e-8, 7e30])
    np.testing.assert_array_equal(
        mean_of(make_update, (17, vector)).update.astype(np.float32), vector
    )


def test_equal_vectors_stay_as_they_are(make_update):
    vector = np.float32([0.1, 0.2, 0.3])
    mean = mean_of(make_update, (1, vector), (2, vector), (4, vector))
    np.testing.assert_array_equal(mean.update.astype(np.float32), vector)


def test_weights_times_ten_give_the_same_mean(make_update):
    updates = random_updates(7, 1000)
    scaled = [(10 * weight, vector) for weight, vector in updates]
    np.testing.assert_allclose(
        mean_of(make_update, *scaled).update, mean_of(make_update, *updates).update, rtol=1e-6
    )


def test_the_mean_agrees_with_numpy(make_update):
    updates = random_updates(9, 1000)
    expected = np.average([v for _, v in updates], axis=0, weights=[w for w, _ in updates])
    np.testing.assert_allclose(
        mean_of(make_update, *updates).update, expected, rtol=1e-6, atol=1e-6
    )


def test_the_same_order_gives_the_same_bits(make_update):
    updates = random_updates(9, 5000)
    once, again = (mean_of(make_update, *updates).update.tobytes() for _ in range(2))
    assert once == again


def test_another_order_gives_the_same_mean_up_to_rounding(make_update):
    updates = random_updates(9, 1000)
    np.testing.assert_allclose(
        mean_of(make_update, *updates).update,
        mean_of(make_update, *updates[::-1]).update,
        rtol=1e-6,
    )


@pytest.mark.parametrize("size", [_SLICE - 1, _SLICE, _SLICE + 1, 2 * _SLICE + 3])
def test_a_vector_of_several_slices_is_averaged_whole(make_update, size):
    first = np.arange(size, dtype=np.float32)
    mean = mean_of(make_update, (1, first), (3, first + 4))
    # (x + 3·(x + 4)) / 4 = x + 3, exact in float32 below 2^24
    np.testing.assert_array_equal(mean.update, first + 3)


def test_counters_are_the_largest_and_stay_integers(make_update):
    mean = mean_of(make_update, (10, [1], [5, 100]), (30, [1], [9, 2**40]), (1, [1], [7, 3]))
    assert mean.counters.tolist() == [9, 2**40]
    assert mean.counters.dtype == np.int64


def test_the_sum_is_kept_in_double_precision(make_update):
    # In float32 the ones would vanish beside 1e8: (1e8 + 4096·1) / 4097 = 24409.08…
    updates = [(1, [1e8]), *[(1, [1.0])] * 4096]
    assert mean_of(make_update, *updates).update[0] == (1e8 + 4096) / 4097


def test_what_was_added_is_not_changed(make_update):
    first = make_update(np.ones(3), 2, [1])
    running = RunningMean(make_update.place(3))
    running.add(first)
    running.add(make_update(np.zeros(3), 2, [9]))
    assert (first.update.tolist(), first.counters.tolist()) == ([1, 1, 1], [1])


def test_the_mean_of_nothing_is_an_error(make_update):
    with pytest.raises(ValueError, match="nothing was added"):
        RunningMean(make_update.place(3)).result()


def test_what_an_algorithm_has_sites_send_is_averaged_by_the_same_weights(make_update):
    place = make_update.place(2, algorithm="scaffold")
    running = RunningMean(place)
    running.add(make_update([0, 0], 10, vectors={"control-change": np.float32([1, 2])}))
    running.add(make_update([0, 0], 30, vectors={"control-change": np.float32([4, 6])}))
    # (10·1 + 30·4) / 40 = 3.25 and (10·2 + 30·6) / 40 = 5
    assert running.result().vectors["control-change"].tolist() == [3.25, 5.0]
