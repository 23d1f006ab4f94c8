import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitions.quantity import assign_quantity, power_law_sizes


def test_sizes_follow_the_power_law():
    # In proportion to 12 : 6 : 4 : 3, of 110: 52.8, 26.4, 17.6, 13.2; the two largest remainders
    # of 0.8 and 0.6 are rounded up.
    assert power_law_sizes(110, 4, 1.0).tolist() == [53, 26, 18, 13]
    # Squares: 144 : 36 : 16 : 9 of 205.
    assert power_law_sizes(205, 4, 2.0).tolist() == [144, 36, 16, 9]


def test_exponent_zero_gives_equal_sites():
    assert power_law_sizes(23, 5, 0.0).tolist() == [5, 5, 5, 4, 4]


def test_a_steep_law_leaves_every_site_two_patients():
    assert power_law_sizes(20, 4, 5.0).tolist() == [14, 2, 2, 2]
    assert power_law_sizes(8, 4, 10.0).tolist() == [2, 2, 2, 2]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(0, 500), st.floats(0, 10))
def test_every_patient_is_counted_and_no_site_is_larger_than_the_one_before(sites, more, exponent):
    sizes = power_law_sizes(2 * sites + more, sites, exponent)
    assert sizes.sum() == 2 * sites + more
    assert sizes.min() >= 2
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("exponent", [0.0, 1.0, 3.0])
def test_patients_are_dealt_at_random_in_these_sizes(exponent):
    one, again, other = (
        assign_quantity(200, 6, exponent=exponent, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(np.bincount(one), power_law_sizes(200, 6, exponent))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
