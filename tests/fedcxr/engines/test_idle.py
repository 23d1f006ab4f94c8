"""Clients that do nothing any more are found by the processor time that they no longer use."""

import os
import time

import pytest

from fedcxr.engines import idle
from fedcxr.engines.idle import IdleWatch, cpu_seconds_of


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(idle.time, "monotonic", lambda: now[0])
    return now


def watch_of(used):
    return IdleWatch(used.get)


def test_a_client_without_processor_time_for_ten_minutes_is_idle(clock):
    used = {"busy": 0.0, "hangs": 5.0}
    watch = watch_of(used)
    found = []
    for _ in range(61):  # 610 s
        found += watch.idle(["busy", "hangs"])
        clock[0] += 10.0
        used["busy"] += 0.1
    assert found == ["hangs"]


def test_ten_minutes_count_from_when_it_got_its_order(clock):
    watch = watch_of({"a": 1.0})
    for _ in range(59):
        assert watch.idle([]) == []  # it waits for an order: nobody waits for it
        clock[0] += 10.0
    assert watch.idle(["a"]) == []
    clock[0] += 590.0
    assert watch.idle(["a"]) == []
    clock[0] += 10.0
    assert watch.idle(["a"]) == ["a"]


def test_a_client_of_whom_nothing_is_known_counts_as_busy(clock):
    watch = watch_of({})
    for _ in range(100):
        assert watch.idle(["a"]) == []
        clock[0] += 10.0


def test_the_processor_time_of_a_process_is_that_of_all_its_threads():
    before = cpu_seconds_of(os.getpid())
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert cpu_seconds_of(os.getpid()) - before == pytest.approx(0.3, abs=0.1)


def test_a_name_with_blanks_and_brackets_does_not_shift_the_fields(tmp_path):
    (tmp_path / "7").mkdir()
    fields = ["S", *map(str, range(4, 14)), "150", "50", *map(str, range(16, 53))]
    (tmp_path / "7/stat").write_text(f"7 (a ) b (c)) {' '.join(fields)}")
    assert cpu_seconds_of(7, tmp_path) == 200 / os.sysconf("SC_CLK_TCK")
    assert cpu_seconds_of(8, tmp_path) is None
