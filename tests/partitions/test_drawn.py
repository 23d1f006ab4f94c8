import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitions.drawn import (
    assign_dirichlet,
    assign_iid,
    assign_quantity,
    draw_in_turn,
    power_law_sizes,
    strata_by_rarest,
)


def test_iid_gives_every_patient_a_site_and_sizes_differ_by_at_most_one():
    counts = np.bincount(assign_iid(23, 5, np.random.default_rng(0)), minlength=5)
    assert sorted(counts) == [4, 4, 5, 5, 5]  # 23 = 3 · 5 + 2 · 4


def test_the_seed_of_iid_decides():
    one, again, other = (assign_iid(50, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def by_labels(strata, num_sites, alpha, seed=0):
    return assign_dirichlet(
        np.array(strata), num_sites, alpha=alpha, rng=np.random.default_rng(seed)
    )


def spread(strata, site_of, num_sites):
    """Mean distance of a site's stratum shares from those of all patients."""
    strata = np.array(strata)
    shares = [
        np.bincount(strata[site_of == site], minlength=4) / (site_of == site).sum()
        for site in range(num_sites)
    ]
    overall = np.bincount(strata, minlength=4) / len(strata)
    return float(np.abs(np.array(shares) - overall).sum(axis=1).mean())


def test_a_patient_is_counted_under_the_rarest_label_they_have():
    # Patients per label: 3, 1, 2. The second has all three: label 1 is the rarest.
    positive = np.array([[1, 0, 0], [1, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(strata_by_rarest(positive), [0, 1, 2, 3])


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 0.5, 100.0, 1e300])
def test_sites_are_of_equal_size_at_every_alpha(alpha):
    site_of = by_labels([0, 1, 2, 3] * 25 + [0] * 3, 5, alpha)
    counts = np.bincount(site_of, minlength=5)
    assert counts.sum() == 103
    assert counts.max() - counts.min() <= 1


def test_small_alpha_makes_sites_differ_and_large_alpha_does_not():
    strata = np.random.default_rng(0).integers(0, 4, 2000)
    far, near = (spread(strata, by_labels(strata, 5, alpha), 5) for alpha in (0.1, 1000.0))
    assert far > 0.6
    assert near < 0.2


def test_one_stratum_is_dealt_out_evenly():
    assert np.bincount(by_labels([7] * 10, 5, 0.01)).tolist() == [2] * 5


def test_the_seed_of_dirichlet_decides():
    strata = [0, 1, 2, 3] * 20
    np.testing.assert_array_equal(by_labels(strata, 3, 0.5, 1), by_labels(strata, 3, 0.5, 1))
    assert (by_labels(strata, 3, 0.5, 1) != by_labels(strata, 3, 0.5, 2)).any()


def test_a_seed_gives_the_sites_that_it_always_gave():
    # from the version of fedcxr that first had the scheme
    strata = np.arange(24) % 5
    assert by_labels(strata, 4, 0.5, seed=7).tolist() == [
        1,
        3,
        2,
        0,
        0,
        3,
        3,
        2,
        2,
        0,
        3,
        2,
        3,
        1,
        0,
        1,
        3,
        1,
        2,
        0,
        1,
        2,
        1,
        0,
    ]


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


def test_a_site_draws_from_its_mix_and_then_from_what_is_left():
    # Strata of 2 and 4 patients; site 0 wants the first only, site 1 the second only. In three
    # turns each, site 0 finds its stratum empty in its third.
    strata = np.array([0, 0, 1, 1, 1, 1])
    mixes = np.array([[1.0, 0.0], [0.0, 1.0]])
    site_of = draw_in_turn(strata, mixes, np.arange(6), np.full(6, 0.5))
    assert site_of[:2].tolist() == [0, 0]
    assert np.bincount(site_of).tolist() == [3, 3]


def test_the_chance_of_a_turn_picks_the_stratum_by_its_share():
    strata = np.array([0] * 10 + [1] * 10)
    mixes = np.array([[0.25, 0.75]])
    low, high = (
        draw_in_turn(strata, np.repeat(mixes, 2, axis=0), np.arange(20), np.full(20, chance))
        for chance in (0.24, 0.26)
    )
    # Below a quarter the first stratum goes first: both sites take its ten in their first turns.
    assert np.bincount(low[:10]).tolist() == np.bincount(high[10:]).tolist() == [5, 5]


def test_the_order_says_who_of_a_stratum_goes_first():
    mixes = np.ones((3, 1))
    site_of = draw_in_turn(np.zeros(3, dtype=int), mixes, np.array([2, 0, 1]), np.zeros(3))
    assert site_of.tolist() == [1, 0, 2]  # taken from the end: patients 1, 0, 2 in turn
