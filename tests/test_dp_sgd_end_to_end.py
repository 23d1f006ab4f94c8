"""Whole runs under patient-level privacy: what leaves, whose noise it is, and what a stop costs."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clients.app
from fedcxr.config import load_config
from fedcxr.experiments import resume, simulate
from fedcxr.home import site_state
from fedcxr.inference import Predictor
from fedcxr.wire import RECEIPT, RESULT, VECTORS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 3,
    "server.batch_norm": "group",
    "privacy.level": "patient",
    "privacy.epsilon": 8.0,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.workers": 1,
}
RUN = """
import json, sys
from pathlib import Path
from fedcxr.config import load_config
from fedcxr.experiments import simulate
simulate(load_config(overrides=json.loads(sys.argv[1])), folder=Path(sys.argv[2]))
"""


def run(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return simulate(load_config(overrides={**TINY, **keys}), folder=folder)


def ledgers(folder):
    return sorted(site_state(folder).glob("*/*/privacy/spent.json"))


def rounds_spent(folder):
    return [
        [row["round"] for row in json.loads(file.read_text())["trainings"]]
        for file in ledgers(folder)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("private") / "whole")


def test_a_run_says_what_each_patient_s_protection_has_cost(whole):
    manifest = json.loads((whole.path / "manifest.json").read_text())
    lines = [json.loads(x) for x in (whole.path / "rounds.jsonl").read_text().splitlines()]
    patients = [site["patients"] for site in manifest["privacy"]["sites"]]
    assert manifest["privacy"]["delta"] == pytest.approx(0.1 / min(patients))
    assert manifest["precision"]["dtype"] == "fp32"
    spent = [line["epsilon"]["rdp"] for line in lines[1:]]
    assert spent == sorted(spent)
    assert 7.9 < spent[-1] <= 8.0
    assert 0 < lines[-1]["epsilon"]["prv"] <= spent[-1]
    assert rounds_spent(whole.path) == [[1, 2, 3]] * 3


def test_nothing_leaves_a_site_but_the_noised_update(tmp_path, monkeypatch):
    sent = []
    reply = clients.app.site_reply

    def listening(message, order, **what):
        answer = reply(message, order, **what)
        sent.append((message.metadata.message_type, answer.content))
        return answer

    monkeypatch.setattr(clients.app, "site_reply", listening)
    done = run(tmp_path / "run", server__rounds=1)

    # Of each answer the numbers and the vectors: those of the update have the run's ε.
    found = {
        (kind, key): sorted(content[key])
        for kind, content in sent
        for key in (RESULT, VECTORS)
        if key in content
    }
    assert found == {
        ("query", RESULT): [],
        ("train", RESULT): [],
        ("train", VECTORS): ["counters", "update"],
    }
    assert {content[RECEIPT]["code"] for _, content in sent} == {"ok"}
    counters = [content[VECTORS]["counters"].data for kind, content in sent if VECTORS in content]
    assert set(counters) == {counters[0]}
    # Evaluation is not even asked for, and no card, round or score tells a number of a site.
    assert {kind for kind, _ in sent} == {"query", "train"}
    cards = json.loads((done.path / "cards.json").read_text())
    assert all(not key.startswith(("num", "pixel")) for card in cards.values() for key in card)
    line = json.loads((done.path / "rounds.jsonl").read_text().splitlines()[-1])
    assert line["train_loss"] is None
    assert line["images"] == 0
    assert {site["num_examples"] for site in line["sites"]} == {1}
    assert all("withheld" in site["reason"] for site in done.summary["site_scores"])
    assert line["epsilon"]["rdp"] <= 8.0


def test_the_noise_is_the_sites_own_and_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    folder = tmp_path / "run"
    first = run(folder).summary["parameters_sha256"]
    secrets = sorted(site_state(folder).glob("*/*/privacy/noise.secret"))
    assert len({file.read_bytes() for file in secrets}) == len(secrets) == 3
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}
    assert not list(folder.rglob("noise.secret"))

    # The same secrets, orders and accounts, on two workers: the same bits, and nothing is spent.
    shutil.rmtree(folder)
    assert run(folder, engine__workers=2).summary["parameters_sha256"] == first
    assert rounds_spent(folder) == [[1, 2, 3]] * 3

    # The same secrets, killed in the last round: the same bits, each round spent once.
    shutil.rmtree(folder)
    for file in ledgers(folder):
        file.unlink()
    kill_in_round_3(folder)
    assert not (folder / "summary.json").exists()
    assert resume(folder).summary["parameters_sha256"] == first
    assert rounds_spent(folder) == [[1, 2, 3]] * 3

    # All that the server knows is the same, the secrets are others: other bits.
    shutil.rmtree(folder)
    shutil.rmtree(site_state(folder))
    assert run(folder).summary["parameters_sha256"] != first


def kill_in_round_3(folder: Path) -> None:
    command = [sys.executable, "-c", RUN, json.dumps(TINY), str(folder)]
    killed = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not any(3 in rounds for rounds in rounds_spent(folder)):
            assert killed.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        killed.kill()  # one worker: there is no other process
        killed.wait(30)


def test_a_checkpoint_with_group_norm_is_opened_as_what_it_is(whole):
    names = Predictor.open(whole.path).spec.names

    assert not [name for name in names if "running" in name or "num_batches" in name]


def test_a_run_without_privacy_can_have_group_norm_too(tmp_path):
    done = run(tmp_path / "run", privacy__level="none", privacy__epsilon=None, server__rounds=1)

    assert Predictor.open(done.path).spec.num_counters == 0
    assert not ledgers(done.path)
