import numpy as np

from partitions.iid import assign_iid


def test_every_patient_gets_a_site_and_sizes_differ_by_at_most_one():
    counts = np.bincount(assign_iid(23, 5, np.random.default_rng(0)), minlength=5)
    assert sorted(counts) == [4, 4, 5, 5, 5]  # 23 = 3 · 5 + 2 · 4


def test_the_seed_decides():
    one, again, other = (assign_iid(50, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
