"""Krum and Multi-Krum: by hand, beside a plain reference, and what hostile sites cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.config.server import ServerConfig
from server.aggregate import spool
from server.aggregate.known_aggregators import aggregator_registry
from server.aggregate.krum import add_squared_distances, krum_scores


def joined(make_update, name, updates, *, hostile=1, buffers=0, names=None, counters=None):
    """Return what the aggregator makes of updates whose last `buffers` numbers are statistics."""
    updates = np.asarray(updates, np.float32)
    size = updates.shape[1] - buffers
    place = make_update.place(size, num_sites=len(updates), buffers=buffers, byzantine=hostile)
    adding = aggregator_registry().get(name).make(place)
    for number, values in enumerate(updates):
        site_id = f"site-{number:02d}" if names is None else names[number]
        own = [number] if counters is None else [counters[number]]
        adding.add(make_update(values, 1 + number, own, site_id=site_id))
    return adding.result()


def test_the_score_is_of_the_nearest_others():
    # 0, 1, 3, 6, 50 on a line, f = 1: each has its 5 − 1 − 2 = 2 nearest
    # 0: 1 + 9 = 10   1: 1 + 4 = 5   3: 4 + 9 = 13   6: 9 + 25 = 34   50: 44² + 47² = 4145
    distances = np.zeros((5, 5))
    add_squared_distances(distances, np.float32([[0], [1], [3], [6], [50]]))
    assert krum_scores(distances, 1).tolist() == [10, 5, 13, 34, 4145]


def test_krum_takes_the_update_of_the_lowest_score(make_update):
    found = joined(make_update, "krum", [[0], [1], [3], [6], [50]])
    assert found.update.tolist() == [1]
    assert found.counters.tolist() == [1]


def test_multi_krum_takes_the_mean_of_all_but_f(make_update):
    # the four of 0, 1, 3, 6: 10 / 4
    found = joined(make_update, "multi-krum", [[0], [1], [3], [6], [50]])
    assert found.update.tolist() == [2.5]
    assert found.counters.tolist() == [3]


def test_equal_scores_go_by_the_names_of_the_sites(make_update):
    updates = [[0], [1], [0], [1], [9]]  # the first four have two others at 0 and 1
    assert joined(make_update, "krum", updates, names=["b", "a", "c", "d", "e"]).update == [1]
    assert joined(make_update, "krum", updates, names=["b", "c", "a", "d", "e"]).update == [0]


def reference(updates, hostile, *, is_multi):
    """Blanchard et al. 2017, §4, written with nothing but loops."""
    rows = [[float(x) for x in row] for row in updates]
    scores = []
    for i, own in enumerate(rows):
        squared = sorted(
            sum((a - b) ** 2 for a, b in zip(own, other, strict=True))
            for j, other in enumerate(rows)
            if j != i
        )
        scores.append(sum(squared[: len(rows) - hostile - 2]))
    best = sorted(range(len(rows)), key=lambda i: scores[i])
    chosen = best[: len(rows) - hostile] if is_multi else best[:1]
    return np.mean([rows[i] for i in chosen], axis=0)


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
@pytest.mark.parametrize(("sites", "hostile"), [(3, 0), (5, 1), (9, 1), (10, 2), (11, 4)])
def test_it_is_what_a_plain_reference_finds(make_update, name, sites, hostile):
    rng = np.random.default_rng(sites)
    for _ in range(5):
        updates = rng.normal(size=(sites, 40)).astype(np.float32)
        found = joined(make_update, name, updates, hostile=hostile).update
        expected = reference(updates, hostile, is_multi=name == "multi-krum")
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_the_order_of_the_sites_does_not_change_a_bit(make_update, name):
    rng = np.random.default_rng(3)
    updates = rng.normal(size=(8, 30)).astype(np.float32)
    updates[5] = updates[2]  # with a tie
    names = [f"site-{number}" for number in range(8)]
    whole = joined(make_update, name, updates, names=names).update
    for _ in range(5):
        order = rng.permutation(8)
        again = joined(make_update, name, updates[order], names=[names[n] for n in order])
        np.testing.assert_array_equal(again.update, whole)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 3),
    st.integers(0, 4),
    st.floats(100.0, 1e30),
    st.integers(0, 2**31),
)
def test_f_outliers_are_never_chosen_however_they_collude(hostile, more, distance, seed):
    # honest updates lie within a ball; colluders send the same, far outside of it
    rng = np.random.default_rng(seed)
    honest = rng.uniform(-1, 1, size=(hostile + 3 + more, 10)).astype(np.float32)
    colluding = np.repeat(np.float32(distance * rng.choice([-1, 1], (1, 10))), hostile, axis=0)
    updates = np.concatenate([honest, colluding])
    distances = np.zeros((len(updates), len(updates)))
    add_squared_distances(distances, updates)
    scores = krum_scores(distances, hostile)
    assert scores[: len(honest)].max() < scores[len(honest) :].min(initial=np.inf)


def test_without_hostile_sites_multi_krum_is_the_plain_mean(make_update):
    updates = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    found = joined(make_update, "multi-krum", updates, hostile=0).update
    np.testing.assert_allclose(found, updates.astype(np.float64).mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_statistics_do_not_choose_and_become_the_median(make_update, name):
    # the trained number chooses as above; the statistics of sites 1 and 4 are poisoned
    updates = [[0, 5, 1], [1, 9e9, -8e9], [3, 6, 2], [6, 7, 3], [50, 9e9, -9e9]]
    found = joined(make_update, name, updates, buffers=2).update
    assert found.tolist() == [1 if name == "krum" else 2.5, 7, 1]


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_the_counters_of_those_left_out_do_not_count(make_update, name):
    updates = [[0], [1], [3], [6], [50]]
    found = joined(make_update, name, updates, counters=[7, 7, 7, 7, 10**9])
    assert found.counters.tolist() == [7]


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_it_chooses_the_same_in_slices_of_any_width(make_update, monkeypatch, name):
    updates = np.random.default_rng(0).normal(size=(7, 101)).astype(np.float32)
    whole = joined(make_update, name, updates, buffers=30).update
    monkeypatch.setattr(spool, "SLICE_BYTES", 7 * 4 * 10)
    np.testing.assert_array_equal(joined(make_update, name, updates, buffers=30).update, whole)


def test_near_rows_of_large_values_keep_their_distance():
    # from the products of the rows, 1e16 − 1e16, nothing would be left of 1
    distances = np.zeros((2, 2))
    add_squared_distances(distances, np.float32([[1e8], [1e8 + 8]]))
    assert distances[0, 1] == distances[1, 0] == 64


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_fewer_than_2f_and_3_are_too_few_with_the_figures(name):
    too_few = aggregator_registry().get(name).too_few
    said = too_few(6, ServerConfig(byzantine=2))
    assert said.startswith(f"{name} with server.byzantine=2 needs at least 2·2 + 3 = 7 updates")
    assert "and there are 6. Lower server.byzantine" in said
    assert too_few(7, ServerConfig(byzantine=2)) is None
    assert too_few(3, ServerConfig(byzantine=0)) is None


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_nothing_is_left_on_disk(make_update, tmp_path, name):
    joined(make_update, name, [[1], [2], [3], [4], [5]])
    assert list((tmp_path / "spool").iterdir()) == []
