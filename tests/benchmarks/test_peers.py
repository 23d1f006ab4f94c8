"""The peers' commands, as far as they can be tried without the peers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.vs import bounded

VS = Path(bounded.__file__).parent
PEERS = ("nvflare", "pfl")
WORK = {
    "files": {"sites/site-00.csv": 30, "sites/site-01.csv": 10, "val.csv": 7},
    "rounds": 2,
    "local_epochs": 3,
}
FOUND = {"images": 240, "round_s": [2.0, 1.0], "test_macro_auroc": 0.6}  # (30 + 10) · 2 · 3


def run_py(peer: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(VS / peer / "run.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("peer", PEERS)
def test_help_needs_no_peer(peer):
    done = run_py(peer, "--help")
    assert done.returncode == 0, done.stderr
    assert "--workload DIR --json FILE" in done.stdout


@pytest.mark.parametrize("peer", PEERS)
def test_a_missing_peer_is_a_plain_message(peer, tmp_path):
    done = run_py(peer, "--workload", str(tmp_path), "--json", str(tmp_path / "found.json"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{peer}: not installed for ")
    assert "setup.sh" in done.stderr
    assert not (tmp_path / "found.json").exists()


@pytest.mark.parametrize("peer", PEERS)
def test_every_requirement_has_one_version(peer):
    lines = (VS / peer / "requirements.txt").read_text("utf-8").splitlines()[1:]
    versions = dict(line.split("==") for line in lines)
    assert len(versions) == len(lines)
    constraints = (VS.parents[1] / "constraints.txt").read_text("utf-8").splitlines()
    ours = dict(line.split("==") for line in constraints if "==" in line)
    for package in ("torch", "torchvision", "numpy", "pillow"):  # the same work, by the same code
        assert versions[package] == ours[package]


@pytest.mark.parametrize("peer", PEERS)
def test_a_set_up_that_is_done_does_nothing(peer, tmp_path):
    # its own tree, in which `build/vs/<peer>` holds only the stamp: anything else would fail
    here, venv = tmp_path / "benchmarks" / "vs" / peer, tmp_path / "build" / "vs" / peer
    here.mkdir(parents=True)
    venv.mkdir(parents=True)
    for name in ("setup.sh", "requirements.txt"):
        (here / name).write_bytes((VS / peer / name).read_bytes())
    (here.parent / "environment.sh").write_bytes((VS / "environment.sh").read_bytes())
    (venv / ".installed").write_bytes((here / "requirements.txt").read_bytes())
    command = ["sh", str(here / "setup.sh")]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "PYTHON": "false"})
    assert [path.name for path in venv.iterdir()] == [".installed"]


def test_the_work_that_was_given_passes():
    bounded.check(FOUND, WORK)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"images": 239}, "trained on 239 images, and the work has 240"),
        ({"round_s": [2.0]}, "ran 1 of 2 rounds"),
        ({"test_macro_auroc": float("nan")}, r"AUROC of the model on test\.csv is not a number"),
    ],
)
def test_other_work_is_refused(other, message):
    with pytest.raises(bounded.PeerError, match=message):
        bounded.check({**FOUND, **other}, WORK)


def test_what_takes_too_long_is_stopped_and_its_processes_killed(tmp_path):
    # a session of its own, and a child of a child, as the peers' workers are
    script = f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    begun = time.monotonic()
    with pytest.raises(bounded.PeerError, match=r"not done in 0\.5 s"), bounded.ended(0.5):
        process.wait()
    assert process.wait(10) == -signal.SIGKILL
    assert time.monotonic() - begun < 30
    worker = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    end = time.monotonic() + 10
    while (worker / "exe").exists() and time.monotonic() < end:  # of a zombie, it does not
        time.sleep(0.05)
    assert not (worker / "exe").exists()


def test_a_failure_is_told_with_the_end_of_the_log(tmp_path):
    def simulate():
        with bounded.quiet(tmp_path / "log.txt"):
            subprocess.run(["echo", "said by a child"], check=True)
            raise ValueError("no such site")

    with pytest.raises(bounded.PeerError, match="ValueError: no such site said by a child"):
        simulate()
