"""Whole runs from Python: scripts without a guard, running event loops, parts of this process."""

import subprocess
import sys
import textwrap

import pytest
import torch

import fedcxr
from fedcxr.trackers.chosen import TRACKERS
from fedcxr.training.losses import LOSSES

TINY = {
    "clients": 3,
    "rounds": 1,
    "image_size": 32,
    "name": "tiny",
    "progress": False,
    "set": {
        "data.synthetic.patients": 90,
        "data.synthetic.size_px": 48,
        "explain.labels": 1,
        "explain.images_per_outcome": 1,
        "engine.precision": "fp32",
    },
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What these tests let a name stand for is forgotten after each."""
    for registry in (LOSSES, TRACKERS):
        monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))


def digest(result):
    return result.comparison.run.summary.parameters_sha256


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return fedcxr.simulate(**TINY, workers=1, runs_dir=tmp_path_factory.mktemp("plain"))


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once_on_two_workers_inside_an_event_loop(tmp_path, plain):
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import asyncio
            import fedcxr

            with open("begun.txt", "a") as file:
                file.write("x")

            async def study():
                return fedcxr.simulate(**{TINY!r}, workers=2)

            run = asyncio.run(study())
            print(run)
            print(run.comparison.run.summary.parameters_sha256)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "begun.txt").read_text() == "x"
    assert done.stdout.splitlines()[-1] == digest(plain)
    assert "macro AUROC" in done.stdout


@pytest.mark.slow
def test_a_loss_of_this_process_is_trained_with_and_its_run_can_be_opened(tmp_path, plain, caplog):
    def brier(logits, target):
        return (torch.sigmoid(logits) - target) ** 2

    run = fedcxr.simulate(**TINY, loss=brier, runs_dir=tmp_path)
    assert digest(run) != digest(plain)
    assert "one worker trains, here" in caplog.text
    events = (run.path / "events.jsonl").read_text()
    assert '"only_here"' in events
    assert "train.loss = __main__:brier" in events
    again = fedcxr.open(run.path)
    assert again.auroc["auroc"].notna().any()


class Keeping:
    """Keeps what it is told, and fails at the end."""

    def __init__(self):
        self.told = []

    def on_start(self, start):
        self.told.append(start)

    def on_round(self, numbers):
        self.told.append(numbers)

    def on_end(self, end):
        raise RuntimeError("the tracker's server is gone")


@pytest.mark.slow
def test_a_tracker_is_told_every_round_and_its_failure_is_in_the_summary(tmp_path, plain):
    tracker = Keeping()
    run = fedcxr.simulate(**TINY, workers=1, tracker=tracker, runs_dir=tmp_path)
    start, *rounds = tracker.told
    assert start.run == run.path.name
    assert start.sites == 3
    assert [told.round_num for told in rounds] == [0, 1]
    assert digest(run) == digest(plain)
    (problem,) = run.comparison.run.summary.tracker_problems.values()
    assert problem == "RuntimeError: the tracker's server is gone"
