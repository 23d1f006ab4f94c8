from functools import reduce

import numpy as np
import pytest

from benchmarks.deployment_soak import (
    SHORT_WINDOW,
    WARM_UP,
    WINDOW,
    by_kind,
    floor,
    memory_table,
    smaller,
)
from benchmarks.soak import Point, slope_mb


def point(round_num, size):
    return Point(round_num, size, 2 * size, 4, 5)


def test_processes_of_one_kind_are_averaged_round_by_round():
    series = {
        "SuperLink": [point(1, 7), point(2, 9)],
        "client of site-00": [point(1, 10), point(2, 20)],
        "client of site-01": [point(1, 30)],
    }
    kinds = by_kind(series)
    assert kinds["SuperLink"] == series["SuperLink"]
    assert [(p.round_num, p.own_bytes) for p in kinds["client"]] == [(1, 20), (2, 20)]


def test_the_slope_begins_after_its_own_warm_up():
    points = [point(n, 50_000_000 if n <= 10 else n * 1_000_000) for n in range(1, 21)]
    slope, error = slope_mb(points, 10)
    assert abs(slope - 1.0) < 1e-9
    assert error < 1e-9


def test_the_least_of_a_round_shows_what_leaks_beside_messages_in_passing():
    points = []
    for round_num in range(1, 51):
        held = 150_000_000 + 200_000 * round_num
        passing = [84_000_000, 28_000_000, 0, 28_000_000 * (round_num % 3)]
        readings = [point(round_num, held + size) for size in passing]
        points.append(reduce(lambda before, found: smaller(found, before), readings))
    slope, error = slope_mb(points, 10)
    assert abs(slope - 0.2) < 1e-9
    assert error < 1e-9


def with_messages(leak_bytes, rounds=50):
    """What a process held at its least in each round, with up to three messages in passing."""
    rng = np.random.default_rng(1)
    passing = 28_200_000 * rng.choice([0, 1, 2, 3], size=rounds, p=[0.6, 0.2, 0.1, 0.1])
    small = rng.normal(0, 20_000, size=rounds)
    held = 108_000_000 + leak_bytes * np.arange(rounds) + passing + small
    return [point(n + 1, int(size)) for n, size in enumerate(held)]


@pytest.mark.parametrize("leak_bytes", [0, 100_000, 300_000])
def test_the_least_of_five_rounds_shows_a_leak_through_messages_in_passing(leak_bytes):
    points = with_messages(leak_bytes)
    rough_error = slope_mb(points, WARM_UP)[1]
    slope, error = slope_mb(floor(points, WINDOW), WARM_UP)
    assert rough_error > 0.1  # round by round no leak of 0.1 MB can be told from none
    assert error < 0.02
    assert abs(slope - leak_bytes / 1e6) < 0.04


def test_a_sawtooth_of_twenty_rounds_is_not_smoothed_away():
    points = [point(n, 100_000_000 + 5_000_000 * (n % 20)) for n in range(1, 51)]
    found = [p.own_bytes for p in floor(points, WINDOW)]
    assert max(found) - min(found) > 50_000_000


def test_the_short_form_has_windows_enough_for_a_slope():
    points = [point(n, 1_000_000 * n) for n in range(1, 17)]
    assert slope_mb(floor(points, SHORT_WINDOW), WARM_UP)[0] == pytest.approx(1.0)


def test_the_table_shows_what_there_was_at_its_marks():
    kinds = {"SuperLink": [point(n, n * 1_000_000) for n in range(1, 17)]}
    table = memory_table(kinds)
    assert table.header[1:-1] == ["round 1", "round 5", "round 10"]
    assert table.rows == [["SuperLink", "1.0", "5.0", "10.0", "20.0"]]
