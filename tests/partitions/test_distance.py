import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from partitions.distance import js_distance


def test_the_same_shares_are_at_distance_zero_and_disjoint_ones_at_one():
    assert js_distance([1, 3], [10, 30]) == 0.0
    assert js_distance([5, 0], [0, 2]) == 1.0


def test_half_and_half_against_all_in_one_by_hand():
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): (log2(4/3) + (log2(2/3) + log2 2)/2) / 2 = 0.3113
    assert js_distance([2, 0], [1, 1]) == pytest.approx(0.3112781**0.5, abs=1e-7)


def test_it_is_scipys_distance_in_bits():
    rng = np.random.default_rng(0)
    for size in (1, 2, 15):
        for _ in range(20):
            counts, rest = rng.integers(0, 50, (2, size))
            counts[0] += 1
            whole = counts + rest
            expected = jensenshannon(counts, whole, base=2)
            assert js_distance(counts.tolist(), whole.tolist()) == pytest.approx(expected, abs=1e-7)
