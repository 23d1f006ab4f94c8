from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from partitions.stratify import stratify


def as_in_the_paper(positive, sizes, rng):
    """Algorithm 1 of Sechidis et al. 2011, line by line, with subsets that can be full."""
    num, num_labels = positive.shape
    left, chance = rng.permutation(num).tolist(), rng.random(num)
    share = [Fraction(size, num) for size in sizes]
    want_any = [num * r for r in share]
    want = [[int(positive[:, i].sum()) * r for r in share] for i in range(num_labels)]
    subset_of = np.full(num, -1)
    while positive[left].any():
        counts = {i: int(positive[left, i].sum()) for i in range(num_labels)}
        label = min((count, i) for i, count in counts.items() if count)[1]
        for x in [x for x in left if positive[x, label]]:
            free = [j for j, size in enumerate(sizes) if (subset_of == j).sum() < size]
            most = max(want[label][j] for j in free)
            free = [j for j in free if want[label][j] == most]
            most = max(want_any[j] for j in free)
            free = [j for j in free if want_any[j] == most]
            m = free[int(chance[x] * len(free))]
            subset_of[x] = m
            left.remove(x)
            for i in np.flatnonzero(positive[x]):
                want[i][m] -= 1
            want_any[m] -= 1
    rest = [j for j, size in enumerate(sizes) for _ in range(size - (subset_of == j).sum())]
    subset_of[left] = rest
    return subset_of


@st.composite
def tables(draw):
    num, labels = draw(st.integers(1, 25)), draw(st.integers(1, 4))
    rows = draw(
        st.lists(
            st.lists(st.booleans(), min_size=labels, max_size=labels), min_size=num, max_size=num
        )
    )
    cuts = sorted(draw(st.lists(st.integers(0, num), min_size=1, max_size=4)))
    sizes = np.diff([0, *cuts, num]).tolist()
    return np.array(rows, dtype=bool), sizes, draw(st.integers(0, 99))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tables())
def test_it_does_what_the_paper_says(table):
    positive, sizes, seed = table
    found = stratify(positive, sizes, np.random.default_rng(seed))
    expected = as_in_the_paper(positive, sizes, np.random.default_rng(seed))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.bincount(found, minlength=len(sizes)), sizes)


def test_a_label_by_hand():
    # Four of eight patients have the label; two subsets of four get two of them each.
    positive = np.array([[1], [1], [1], [1], [0], [0], [0], [0]], dtype=bool)
    for seed in range(20):
        subset_of = stratify(positive, [4, 4], np.random.default_rng(seed))
        assert np.bincount(subset_of[:4]).tolist() == [2, 2]


def test_every_label_is_as_frequent_in_every_subset_as_in_the_whole():
    # 14 labels that come together, as findings do: the sign of correlated normal numbers.
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 14)) + rng.normal(size=(4000, 1))
    positive = scores > np.linspace(0.5, 3.6, 14)
    assert positive.sum(axis=0).min() < 40
    subset_of = stratify(positive, [800, 400, 2800], np.random.default_rng(1))
    wanted = np.outer([0.2, 0.1, 0.7], positive.sum(axis=0))
    found = np.array([positive[subset_of == k].sum(axis=0) for k in range(3)])
    assert np.abs(found - wanted).max() <= 1.5  # patients
    # A random draw of 800 is off by sqrt(800 · 0.8 · p (1 - p)), 12 patients at p = 0.36.
    at_random = positive[rng.permutation(4000)[:800]].sum(axis=0)
    assert np.abs(at_random - wanted[0]).max() > 5


def test_the_seed_decides():
    positive = np.random.default_rng(0).random((60, 3)) < 0.3
    one, again, other = (stratify(positive, [20, 40], np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_patients_without_any_label_are_dealt_at_random():
    subset_of = stratify(np.zeros((40, 2), dtype=bool), [10, 30], np.random.default_rng(0))
    assert np.bincount(subset_of).tolist() == [10, 30]
    assert len(set(subset_of[:20])) == 2  # not the first ten
