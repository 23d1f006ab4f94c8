"""Whole runs under secure aggregation: the mean of plain FedAvg, silent sites, and going on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from flwr.clientapp import ClientApp
from safetensors.numpy import load_file

from clients.app import simulated_app
from fedcxr.config import load_config
from fedcxr.engines.app_ref import AppRef
from fedcxr.errors import QuorumError
from fedcxr.experiments import resume, simulate
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from fedcxr.wire import unpack_order

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 80,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 4,
    "server.rounds": 2,
    "server.secure_aggregation": True,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
}


def run(folder, tampering=None, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    if tampering is not None:  # clients in processes of their own, which can be killed
        keys["engine.workers"] = 2
    config = load_config(overrides={**TINY, "runs_dir": str(folder), **keys})
    return simulate(config, tampering=tampering)


def lines_of(path):
    return [json.loads(x) for x in (path / "rounds.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbs."""
    return run(tmp_path_factory.mktemp("whole"))


class Silent:
    """Has the clients of sites killed at a stage of a round."""

    def __init__(self, round_num, kind, *sites):
        self.words = str(round_num), kind, *sites

    def app(self, honest):
        return AppRef(__name__, "silent_app", (*honest.args, *self.words))

    def grid(self, job, honest):
        return honest


def silent_app(run_path, round_num, kind, *sites):
    """Return the clients' app, whose process ends where `Silent` says."""
    honest, app = simulated_app(run_path), ClientApp()

    def answer(message, context):
        site = f"site-{int(context.node_config['partition-id']):02d}"
        asked = message.metadata.message_type, unpack_order(message).round_num
        if site in sites and asked == (kind, int(round_num)):
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(message, context)

    for register in (app.train(), app.evaluate(), app.query()):
        register(answer)
    for stage in ("advertise", "share", "reveal"):
        app.query(stage)(answer)
    return app


def test_a_round_is_that_of_plain_fedavg_but_for_one_step_of_the_quantiser(tmp_path, whole):
    plain = run(tmp_path, server__secure_aggregation=False, server__rounds=1)
    facts = json.loads((whole.path / "manifest.json").read_text())["secure_aggregation"]
    assert facts["server_sees"] == "sums"
    assert (facts["degree"], facts["threshold"], facts["fewest"]) == (3, 3, 3)
    first = lines_of(whole.path)[1]
    assert first["secure"]["clipped"] == 0
    assert first["train_loss"] == pytest.approx(lines_of(plain.path)[1]["train_loss"], abs=1e-5)
    ours, theirs = (tensors_of(path) for path in (whole.path, plain.path))
    for name, tensor in ours.items():
        step = facts["buffer_step" if "running" in name else "step"]
        assert abs(tensor - theirs[name]).max() <= step * 1.01 + 1e-6, name


def tensors_of(path):
    file = checkpoint_file(path / "checkpoints", 1)
    return {n: t for n, t in load_file(file).items() if t.dtype.kind == "f" and t.size}


def test_two_workers_give_the_same_bits_and_no_number_of_one_site_is_written_down(tmp_path, whole):
    two = run(tmp_path, engine__workers=2)
    assert two.summary["parameters_sha256"] == whole.summary["parameters_sha256"]
    rows = [row for line in lines_of(whole.path)[1:] for row in line["sites"]]
    assert len(rows) == 8
    assert all(row["train_loss"] is None and set(row) == {"site_id", "train_loss"} for row in rows)
    kept = list(whole.path.glob("site-state/*/*/secure-round.json"))
    assert len(kept) == 4
    assert all(json.loads(file.read_text())["secrets"] is None for file in kept)


@pytest.mark.parametrize("kind", ["train", "query.reveal"])
def test_a_site_that_falls_silent_at_a_stage_holds_nobody_up(tmp_path, kind):
    ended = run(tmp_path, Silent(1, kind, "site-01"), server__rounds=1)
    (line,) = lines_of(ended.path)[1:]
    there = sorted(row["site_id"] for row in line["sites"])
    if kind == "query.reveal":
        assert there == ["site-00", "site-01", "site-02", "site-03"]
        assert line["secure"]["silent_at_the_end"] == ["site-01"]
    else:
        assert there == ["site-00", "site-02", "site-03"]
        assert [row["site_id"] for row in line["missing"]] == ["site-01"]


def test_below_the_threshold_the_run_ends_with_its_checkpoint_and_goes_on(tmp_path, whole):
    with pytest.raises(QuorumError, match=r"2 of 4 sites .* 3 are needed.*Nothing was") as caught:
        run(tmp_path, Silent(2, "train", "site-01", "site-02"))
    assert caught.value.exit_code == 6
    (path,) = tmp_path.iterdir()
    assert checkpoint_rounds(path / "checkpoints") == [0, 1]
    assert resume(path).summary["parameters_sha256"] == whole.summary["parameters_sha256"]


def test_a_run_killed_in_a_secure_round_goes_on_to_the_same_bits(tmp_path, whole):
    settings = {**TINY, "runs_dir": str(tmp_path)}
    flags = [x for key, value in settings.items() for x in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "fedcxr", "simulate", *flags]
    killed = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not is_masked(tmp_path, 2):
            assert killed.poll() is None
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        killed.kill()  # one worker: there is no other process
        killed.wait(30)
    (path,) = tmp_path.iterdir()
    assert not (path / "summary.json").exists()
    assert resume(path).summary["parameters_sha256"] == whole.summary["parameters_sha256"]


def is_masked(folder, round_num):
    """Return whether a site has sent its masked values of a round."""
    lines = list(folder.glob("*/rounds.jsonl"))
    if not lines or len(lines[0].read_text().splitlines()) != round_num:
        return False
    files = folder.glob("*/site-state/*/*/secure-round.json")
    states = [json.loads(file.read_text()) for file in files]
    return any(state["masked_sha256"] and state["secrets"] for state in states)


def test_what_does_not_go_with_it_ends_with_exit_code_2_before_training(run_main, tmp_path):
    words = ["--secure-aggregation", "--runs-dir", str(tmp_path / "runs")]
    for more in (["--aggregator", "median"], ["--set", "partition.clients=2"]):
        code, _, err = run_main("simulate", *words, *more)
        assert code == 2
        assert "server.secure_aggregation" in " ".join(err.split())
    assert not list((tmp_path / "runs").glob("*"))
