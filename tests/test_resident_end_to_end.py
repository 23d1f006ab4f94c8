"""A deployment of real processes in which the sites' trainers are killed while the run goes on."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import deploy_smoke as smoke
import pytest

pytestmark = pytest.mark.slow


def trainers(folder):
    """Return the processes that answer for the sites: forked, by one that belongs to `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parent = Path("/proc") / fields[1] / "cmdline"
            of_ours = str(folder).encode() in (process / "environ").read_bytes()
            if of_ours and b"fedcxr.engines.fork_server" in parent.read_bytes():
                found.append(int(process.name))
    return found


def test_killed_trainers_cost_no_round_and_no_bit(tmp_path, monkeypatch):
    # row 20 of the bad-input table
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    begun = time.monotonic()
    smoke.make_folders(tmp_path)
    smoke.make_kits(tmp_path)
    kits, killed = tmp_path / "kits", []
    words = ["run", "--kit", kits / "server", "--data", tmp_path / "server", "--name", "deployed"]
    words += ["--rounds", smoke.ROUNDS, "--runs-dir", tmp_path / "runs"]
    with smoke.processes(tmp_path), (tmp_path / "run.log").open("wb") as log:
        run = subprocess.Popen([*smoke.FEDCXR, *map(str, words)], stdout=log, stderr=log)
        try:
            for done in range(smoke.ROUNDS):  # so in every round
                killed += kill_after(tmp_path, done)
            assert run.wait(120) == 0, (tmp_path / "run.log").read_text()
        finally:
            run.kill()
            run.wait()
    assert len(killed) >= smoke.ROUNDS * len(smoke.SITES)
    smoke.check_gone(tmp_path)
    smoke.check(tmp_path, time.monotonic() - begun)


def kill_after(folder, round_num):
    """Kill every trainer as soon as the run has a round's line, and return which they were."""
    end = time.monotonic() + 120
    while len(lines_in(folder)) <= round_num:
        assert time.monotonic() < end
        time.sleep(0.02)
    found = trainers(folder)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


def lines_in(folder):
    files = list(folder.glob("runs/*-deployed/rounds.jsonl"))
    return files[0].read_text().splitlines() if files else []
