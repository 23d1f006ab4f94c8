import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from partitions.groups import assign_groups, describe


def assign(sizes, num_sites, *, join_small=True, seed=0):
    """Return the patients of each site by group, (S, G), and what the sites hold."""
    group_of = np.repeat(np.arange(len(sizes)), sizes)
    group_of = np.random.default_rng(9).permutation(group_of)
    rng = np.random.default_rng(seed)
    site_of, holds = assign_groups(group_of, num_sites, join_small=join_small, rng=rng)
    table = np.zeros((num_sites, len(sizes)), dtype=int)
    np.add.at(table, (site_of, group_of), 1)
    return table, holds


def test_sites_are_shared_among_groups_so_that_the_smallest_is_as_large_as_can_be():
    # 60, 30 and 10 patients to 5 sites: after one each, 60/2 = 30 > 30/2 > 10/2, then 60/3 = 20.
    table, holds = assign([60, 30, 10], 5)
    assert table.tolist() == [[20, 0, 0], [20, 0, 0], [20, 0, 0], [0, 30, 0], [0, 0, 10]]
    assert holds == [[0], [0], [0], [1], [2]]


def test_a_groups_patients_are_dealt_evenly_and_at_random():
    table, _ = assign([11, 9], 4)
    assert sorted(table[:2, 0]) == [5, 6]
    assert sorted(table[2:, 1]) == [4, 5]
    group_of = np.repeat([0, 1], [11, 9])
    one, other = (
        assign_groups(group_of, 4, join_small=True, rng=np.random.default_rng(seed))[0]
        for seed in (0, 1)
    )
    assert (one != other).any()


def test_with_fewer_sites_than_groups_the_rest_join_the_smallest_site():
    # The two largest have a site: 40 and 30. Then 20 joins 30 (50), 9 joins 40 (49), 8 joins 49.
    table, holds = assign([8, 40, 9, 30, 20], 2)
    assert holds == [[1, 2, 0], [3, 4]]
    assert table.sum(axis=1).tolist() == [57, 50]
    assert ((table > 0).sum(axis=0) == 1).all()  # no group is torn apart


def test_a_group_too_small_for_a_site_joins_the_smallest_one():
    # 1 % of the 1000 patients of an equal site is 10: the group of 9 has no site.
    assert assign([1191, 800, 9], 2)[1] == [[0], [1, 2]]
    assert assign([1191, 799, 10], 3)[1] == [[0], [1], [2]]
    # One patient is no site; of the sites with 3, 2 and 4 patients they join the second.
    assert assign([5, 4, 1], 3)[1] == [[0], [0, 2], [1]]


def test_a_group_however_small_keeps_its_site_where_joining_would_mix_sources():
    table, holds = assign([3000, 3], 3, join_small=False)
    assert holds == [[0], [0], [1]]
    assert table[2].tolist() == [0, 3]


def test_many_tiny_groups_fill_the_sites_evenly():
    table, holds = assign([2] * 400, 3)
    assert max(table.sum(axis=1)) - min(table.sum(axis=1)) <= 2
    assert sum(map(len, holds)) == 400


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 15), st.booleans())
def test_every_patient_has_one_site_and_a_site_says_what_it_holds(sizes, num_sites, join_small):
    table, holds = assign(sizes, num_sites, join_small=join_small)
    np.testing.assert_array_equal(table.sum(axis=0), sizes)
    for site, groups in enumerate(holds):
        assert set(np.flatnonzero(table[site])) <= set(groups)
        assert len(groups) == len(set(groups)) >= 1


def test_what_a_site_holds_is_told_in_few_words():
    assert describe(["F", ""]) == "F, unknown"
    assert describe([str(i) for i in range(6)]) == "0, 1, 2, 3 and 2 more"
    assert describe(["x" * 500]) == "x" * 40
