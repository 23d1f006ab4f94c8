import json
import sys

import pytest

from benchmarks.end_to_end import Found, Size, judge, once, table
from benchmarks.vs import peers
from benchmarks.vs.arms import Outcome, run_arm
from benchmarks.vs.workload import Work

SIZE = Size(
    Work(clients=5, images_per_client=128), ("fedcxr-auto", "flower"), {"fedcxr-auto": 3}, 2
)


def test_a_peer_runs_in_the_environment_that_its_set_up_makes(tmp_path, monkeypatch):
    monkeypatch.delenv(peers.PEER_PYTHON, raising=False)
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    script = tmp_path / "benchmarks" / "vs" / "flower" / "setup.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho no such version\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(RuntimeError, match="exit status 1: no such version"):
        peers.peer_command("flower", "--echo", "10")
    script.write_text("#!/bin/sh\n")
    python = str(tmp_path / "build" / "vs" / "flower" / "bin" / "python")
    assert peers.peer_command("flower", "--echo", "10")[1:3] == [f"PYTHONPATH={tmp_path}", python]
    monkeypatch.setenv(peers.PEER_PYTHON, "/usr/bin/python3")
    assert peers.peer_command("flower")[2] == "/usr/bin/python3"


def test_an_arm_is_timed_from_its_start_to_its_end_and_read(tmp_path, monkeypatch):
    found = {"wall_s": 1.0, "round_s": [4.0, 1.0, 2.0], "images": 90, "test_macro_auroc": 0.7}
    peer = tmp_path / "peer.py"
    peer.write_text(
        "import sys, pathlib\n"
        "assert sys.argv[1:4:2] == ['--workload', '--json']\n"
        f"pathlib.Path(sys.argv[4]).write_text({json.dumps(found)!r})\n"
    )
    python = sys.executable
    monkeypatch.setattr(
        "benchmarks.vs.arms.peer_command", lambda name, *words: [python, str(peer), *words]
    )
    outcome = run_arm("pfl", tmp_path)
    # 60 images in the two rounds after the first, which took 3 s
    assert (outcome.images, outcome.steady, outcome.test_macro_auroc) == (90, 20.0, 0.7)
    assert 0 < outcome.wall_s < 30
    assert Outcome(10.0, 90, 20.0, 0.7).images_per_second == 9


def outcome(wall_s):
    return Outcome(wall_s, images=3200, steady=float("nan"), test_macro_auroc=0.6)


def test_the_goal_is_judged_on_the_median_of_the_ratios_to_the_faster_way_of_running_flower():
    found = {
        "fedcxr-auto": Found([outcome(10), outcome(20), outcome(10)]),
        "flower": Found([outcome(31), outcome(50), outcome(40)]),
        "flower-2cpu": Found([outcome(90), outcome(90), outcome(30)]),
    }
    row = judge(SIZE, found, judged=True)[0]  # 3.1, 2.5 and 4.0
    assert (row.found, row.met) == ("3.10 (2.50 to 4.00)", True)
    assert judge(SIZE, found, judged=False)[0].met is None
    found["fedcxr-auto"].runs[2] = outcome(16)  # 3.1, 2.5 and 2.5
    assert judge(SIZE, found, judged=True)[0].met is False


def test_a_peer_that_fails_is_listed_with_its_error_and_not_tried_again(tmp_path, monkeypatch):
    tried = []

    def fail(arm, work):
        tried.append(arm)
        raise RuntimeError("exit status 1: no such module")

    monkeypatch.setattr("benchmarks.end_to_end.run_arm", fail)
    found = {"fedcxr-auto": Found([outcome(10)]), "flower": Found(), "flower-2cpu": Found()}
    once("flower", tmp_path, found["flower"])
    once("flower", tmp_path, found["flower"])
    assert tried == ["flower"]
    lines = table(SIZE, found).rows
    assert lines[0][:3] == ["fedcxr-auto", "10.0", "320.0"]
    assert lines[1][:2] == ["flower", "did not run: exit status 1: no such module"]
    row = judge(SIZE, found, judged=True)[0]
    assert (row.found, row.met) == ("exit status 1: no such module", False)
