import pytest

from benchmarks.soak import WARM_UP, Point, rounds_done, slope_mb, slope_rows


def points(sizes, first=WARM_UP + 1):
    return [Point(first + i, size, 0, 0, 0) for i, size in enumerate(sizes)]


def test_the_slope_is_the_least_squares_line_with_its_standard_error():
    # 0, 3, 3 MB at x = -1, 0, 1: slope 1.5; rests -0.5, 1, -0.5: sqrt(1.5 / 1 / 2) = 0.866
    assert slope_mb(points([0, 3_000_000, 3_000_000])) == pytest.approx((1.5, 0.8660254))


def test_what_is_taken_during_the_warm_up_is_not_seen():
    assert slope_mb([*points([9_000_000], first=1), *points([5, 5, 5])]) == (0.0, 0.0)


def test_too_few_rounds_have_no_slope_and_miss_the_goal():
    assert slope_mb(points([1, 2])) is None
    rows = slope_rows({"server": None, "worker 1 (7)": (0.01, 0.002)}, 42)
    assert [row.met for row in rows] == [False, True]
    assert rows[1].what == "memory's slope over 42 rounds, worker 1"
    assert rows[1].found == "0.010 ± 0.002 MB a round"


def test_a_growing_process_misses_the_goal():
    assert slope_rows({"server": (0.11, 0.01)}, 200)[0].met is False


def test_rounds_are_counted_without_the_one_before_training(tmp_path):
    assert rounds_done(tmp_path) == 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rounds.jsonl").write_text('{"round": 0}\n{"round": 1}\n{"rou')
    assert rounds_done(tmp_path) == 1
