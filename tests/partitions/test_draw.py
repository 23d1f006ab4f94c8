import numpy as np

from partitions.draw import draw_in_turn


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
