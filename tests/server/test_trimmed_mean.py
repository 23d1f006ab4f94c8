"""The mean without its ends: by hand, beside a plain loop, and where nothing would be left."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedcxr.config.server import ServerConfig
from server.aggregate import spool
from server.aggregate.known_aggregators import aggregator_registry
from server.aggregate.trimmed_mean import mean_without_ends, num_trimmed, trimmed_mean

UPDATES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(3, 9), st.integers(1, 6)),
    elements=st.floats(-1e6, 1e6, width=32),
)


def trimmed(make_update, updates, *, trim, weights=None):
    place = make_update.place(len(updates[0]), num_sites=len(updates), trim=trim)
    adding = trimmed_mean(place)
    for number, values in enumerate(updates):
        weight = 1 if weights is None else weights[number]
        adding.add(make_update(values, weight, counters=[number]))
    return adding.result()


def test_the_ends_of_each_number_are_left_out(make_update):
    # ⌈0.2 · 5⌉ = 1 at each end: (2 + 3 + 4) / 3 and (0 + 1 + 8) / 3
    found = trimmed(make_update, [[1, 9], [2, 8], [3, 1], [4, 0], [900, -7]], trim=0.2)
    assert found.update.tolist() == [3, 3]
    assert found.counters.tolist() == [4]


@pytest.mark.parametrize(("sites", "trim", "left"), [(4, 0.2, 2), (10, 0.2, 6), (11, 0.2, 5)])
def test_a_share_that_is_no_whole_number_of_sites_is_rounded_up(make_update, sites, trim, left):
    updates = [[2.0**site] for site in range(sites)]
    cut = (sites - left) // 2
    expected = sum(2.0**site for site in range(cut, sites - cut)) / left
    found = trimmed(make_update, updates, trim=trim).update
    np.testing.assert_allclose(found, [expected], rtol=1e-15)


def test_weights_do_not_count(make_update):
    updates = [[1.0], [2.0], [3.0]]
    plain = trimmed(make_update, updates, trim=0.3).update
    assert trimmed(make_update, updates, trim=0.3, weights=[1, 1, 999]).update == plain == [2.0]


def by_loop(updates, share):
    """A second way: Python's own sorting and adding."""
    cut = math.ceil(share * len(updates) - 1e-9)
    found = []
    for column in np.asarray(updates, np.float64).T.tolist():
        kept = sorted(column)[cut : len(column) - cut]
        found.append(math.fsum(kept) / len(kept))
    return found


@settings(max_examples=60, deadline=None)
@given(UPDATES, st.sampled_from([0.0, 0.1, 0.2, 0.3]))
def test_it_is_what_a_plain_loop_finds(updates, share):
    assume(2 * num_trimmed(len(updates), share) < len(updates))
    found = mean_without_ends(updates, share)
    np.testing.assert_allclose(found, by_loop(updates, share), rtol=1e-12, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(UPDATES, st.randoms(use_true_random=False))
def test_the_order_of_the_sites_does_not_change_a_bit(updates, random):
    order = random.sample(range(len(updates)), len(updates))
    np.testing.assert_array_equal(
        mean_without_ends(updates[order], 0.2), mean_without_ends(updates, 0.2)
    )


@settings(max_examples=60, deadline=None)
@given(UPDATES)
def test_with_a_share_of_0_it_is_the_plain_mean(updates):
    np.testing.assert_allclose(
        mean_without_ends(updates, 0.0),
        updates.astype(np.float64).mean(axis=0),
        rtol=1e-12,
        atol=1e-6,
    )


def test_two_of_ten_cannot_move_it_beyond_the_others(make_update):
    honest = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32)
    found = trimmed(make_update, [*honest, np.full(50, 3e38), np.full(50, -3e38)], trim=0.2).update
    assert (honest.min(axis=0) <= found).all()
    assert (found <= honest.max(axis=0)).all()


def test_it_is_the_same_in_slices_of_any_width(make_update, monkeypatch):
    updates = np.random.default_rng(0).normal(size=(7, 101)).astype(np.float32)
    whole = trimmed(make_update, updates, trim=0.2).update
    monkeypatch.setattr(spool, "SLICE_BYTES", 7 * 4 * 10)
    np.testing.assert_array_equal(trimmed(make_update, updates, trim=0.2).update, whole)


@pytest.mark.parametrize(("count", "trim"), [(3, 0.4), (2, 0.2), (1, 0.01)])
def test_where_nothing_would_be_left_the_figures_are_said(count, trim):
    too_few = aggregator_registry().get("trimmed-mean").too_few
    said = too_few(count, ServerConfig(trim=trim))
    assert f"of {count} updates at each end (server.trim={trim:g}, rounded up)" in said
    assert too_few(5, ServerConfig(trim=trim)) is None
    assert too_few(1, ServerConfig(trim=0.0)) is None
