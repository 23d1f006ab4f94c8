"""Aggregators that need all updates at once: spooled to disk, the same however it is sliced."""

import logging

import numpy as np
import pytest

from fedcxr.errors import StorageError
from server.aggregate import spool
from server.aggregate.median import median
from server.aggregate.spool import Spool


def median_of(make_update, *updates):
    size = len(updates[0])
    adding = median(make_update.place(size, num_sites=len(updates)))
    for values in updates:
        adding.add(make_update(values, counters=[len(values)]))
    return adding.result()


def test_the_median_is_of_each_number_by_itself(make_update):
    found = median_of(make_update, [1, 9, 0], [2, 8, -5], [100, -7, 5])
    assert found.update.tolist() == [2, 8, 0]
    assert found.counters.tolist() == [3]


def test_of_two_in_the_middle_it_is_their_mean(make_update):
    assert median_of(make_update, [1], [2], [4], [100]).update.tolist() == [3]


def test_one_site_cannot_move_it_beyond_the_others(make_update):
    honest = [[1.0, 2.0], [1.1, 2.1], [0.9, 1.9], [1.05, 2.05]]
    found = median_of(make_update, *honest, [3e38, -3e38]).update
    assert (np.min(honest, axis=0) <= found).all()
    assert (found <= np.max(honest, axis=0)).all()


def test_weights_do_not_count(make_update):
    place = make_update.place(1, num_sites=3)
    adding = median(place)
    for value, weight in ((1, 1), (2, 1), (9, 1000)):
        adding.add(make_update([value], weight))
    assert adding.result().update.tolist() == [2]


def test_it_is_the_same_in_slices_of_any_width(make_update, monkeypatch):
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(7, 101)).astype(np.float32)
    whole = median_of(make_update, *updates).update
    monkeypatch.setattr(spool, "SLICE_BYTES", 7 * 4 * 10)
    np.testing.assert_array_equal(median_of(make_update, *updates).update, whole)
    np.testing.assert_array_equal(whole, np.median(updates, axis=0))


def test_nothing_is_left_on_disk(make_update, tmp_path):
    median_of(make_update, [1, 2], [3, 4])
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_it_takes_is_said_before_it_starts(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        Spool(tmp_path, 1000, 250)
    # 1,000 · 250 · 4 bytes
    assert "1000 updates take 0.00 GB on disk" in caplog.text
    assert "32 MB of memory at once" in caplog.text


def test_the_room_of_a_round_is_known_before_it(make_update):
    # 1,000 · 250 · 4 bytes
    assert make_update.place(250, num_sites=1000).room() == {"updates": 1000, "bytes": 10**6}


def test_a_disk_without_room_is_told_before_the_first_update(tmp_path):
    with pytest.raises(StorageError, match=r"take 4000000\.00 GB, and \S+ GB are free"):
        Spool(tmp_path, 10**6, 10**9)
