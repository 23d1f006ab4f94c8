import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import (
    family,
    finish,
    marked,
    memory,
    own_bytes,
    pss_bytes,
    started,
    watched,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="PSS is only told by Linux"
)

ORPHAN = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""
HOLDS_50_MB = "import time; held = b'x' * 50_000_000; time.sleep(600)"


def until(is_so):
    end = time.monotonic() + 30
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    assert is_so()


def test_an_orphan_is_known_by_its_home_and_killed(tmp_path):
    log = tmp_path / "log"
    with started([sys.executable, "-c", ORPHAN], tmp_path, log) as process:
        finish(process, log, 30)
        assert len(marked(tmp_path)) == 1
    until(lambda: marked(tmp_path) == [])


def test_what_a_command_of_a_command_starts_is_known_by_both_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_BENCHMARKS", f":{tmp_path / 'outer'}")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with started(command, tmp_path / "inner", tmp_path / "log") as process:
        until(lambda: marked(tmp_path / "inner") == [process.pid])
        assert marked(tmp_path / "outer") == [process.pid]
        assert marked(tmp_path) == []


def test_a_command_is_stopped_as_by_the_user_so_that_it_can_tidy_up(tmp_path):
    tidies = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    tidies += "try: print('on', flush=True); time.sleep(600)\n"
    tidies += "except KeyboardInterrupt: print('tidy')"
    log = tmp_path / "log"
    with started([sys.executable, "-c", tidies], tmp_path, log):
        until(lambda: "on" in log.read_text())
    assert log.read_text().split() == ["on", "tidy"]


def test_memory_of_a_command_is_followed_to_its_peak(tmp_path):
    command = [sys.executable, "-c", HOLDS_50_MB]
    with watched(command, tmp_path, tmp_path / "log", every_s=0.02) as watch:
        until(lambda: watch.peaks.own > 50_000_000)
        assert 50_000_000 < own_bytes(memory(watch.process.pid)) < 100_000_000
        until(lambda: watch.peaks.family > 50_000_000)


def test_the_family_of_a_process_begins_with_itself():
    assert family(os.getpid())[0] == os.getpid()
    assert pss_bytes(0) == 0


def test_a_failure_is_told_with_the_end_of_the_log(tmp_path):
    log, command = tmp_path / "log", [sys.executable, "-c", "raise SystemExit('worn out')"]
    with (
        pytest.raises(RuntimeError, match="exit status 1: worn out"),
        started(command, tmp_path, log) as process,
    ):
        finish(process, log, 30)


def test_what_takes_too_long_is_told(tmp_path):
    log, command = tmp_path / "log", [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(RuntimeError, match="not done in 0 s"),
        started(command, tmp_path, log) as process,
    ):
        finish(process, log, 0.1)
