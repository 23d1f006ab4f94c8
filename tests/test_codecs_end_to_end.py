"""Whole runs under each codec: the same bits for any number of workers and after a crash."""

import json
import subprocess
import sys
import time

import pytest

from fedcxr.config import load_config
from fedcxr.experiments import resume, simulate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 3,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "server.topk": 0.1,
}
MOST = {"fp16": 0.502, "int8": 0.26, "topk": 0.22}
"""Share of the bytes: densenet_small has few numbers for the headers and scales of its tensors."""


def run(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return simulate(load_config(overrides={**TINY, "runs_dir": str(folder), **keys}))


def lines_of(path):
    return [json.loads(x) for x in (path / "rounds.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), engine__workers=1)


def test_without_a_codec_as_many_bytes_come_up_as_go_down(plain):
    lines = lines_of(plain.path)[1:]
    assert all(line["bytes_up"] == line["bytes_down"] > 0 for line in lines)


@pytest.mark.parametrize("codec", sorted(MOST))
def test_one_and_two_workers_give_the_same_bits_and_few_bytes(tmp_path, plain, codec):
    one, two = (run(tmp_path, server__codec=codec, engine__workers=n) for n in (1, 2))
    assert one.summary["parameters_sha256"] == two.summary["parameters_sha256"]
    assert one.summary["parameters_sha256"] != plain.summary["parameters_sha256"]
    lines, others = lines_of(one.path), lines_of(plain.path)
    assert [len(line["sites"]) for line in lines] == [0, 3, 3, 3]
    # down go the parameters, up come the updates
    assert all(line["bytes_up"] / line["bytes_down"] <= MOST[codec] for line in lines[1:])
    assert lines[-1]["val_loss"] == pytest.approx(others[-1]["val_loss"], rel=0.1)
    assert json.loads((one.path / "manifest.json").read_text())["codec"] == codec


def test_a_run_killed_under_a_codec_goes_on_to_the_same_bits(tmp_path):
    settings = {"server.codec": "int8", "server.batch_norm": "local", "engine.workers": 1}
    settings |= {**TINY, "server.rounds": 4, "runs_dir": str(tmp_path / "killed")}
    flags = [x for key, value in settings.items() for x in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "fedcxr", "simulate", *flags]
    killed = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 120
        # in the third round, after the first site has answered and kept what it owes
        while not list(tmp_path.glob("killed/*/site-state/site-00/*/lost-00003.safetensors")):
            assert killed.poll() is None
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        killed.kill()  # one worker: there is no other process
        killed.wait(30)
    path = next((tmp_path / "killed").iterdir())
    assert not (path / "summary.json").exists()
    whole = run(
        tmp_path / "whole",
        server__codec="int8",
        server__batch_norm="local",
        server__rounds=4,
        engine__workers=1,
    )
    went_on = resume(path)
    assert went_on.summary["parameters_sha256"] == whole.summary["parameters_sha256"]
